//! A certificate authority of one's own, and the certificates that it signs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::files::{FileError, make_folder, read_file, write_file};

/// The validity of certificates that are not told otherwise, in days: about ten years.
pub const LONG: u32 = 3652;

/// Days before its creation from which a certificate is valid: the clock of the verifier, or of this machine, may have
/// been set back since.
const BACKDATED: i32 = 366;

/// An error of making or reading a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file holds no key or certificate.
    #[error("{0} holds no usable key or certificate")]
    Broken(PathBuf, #[source] rcgen::Error),
    /// A certificate cannot be issued, or a key of one cannot be read.
    #[error("a certificate cannot be issued")]
    Issue(#[from] rcgen::Error),
    /// A certificate cannot be read.
    #[error("a certificate cannot be read")]
    Unreadable,
}

/// A certificate and its private key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and after it those that lead to its authority.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Pair {
    /// The time from which the certificate is no longer valid.
    ///
    /// # Errors
    ///
    /// The text is not a certificate.
    pub fn expiry(&self) -> Result<Timestamp, CertificateError> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate.as_bytes())
            .map_err(|_| CertificateError::Unreadable)?;
        let certificate = pem.parse_x509().map_err(|_| CertificateError::Unreadable)?;
        let seconds = certificate.validity().not_after.timestamp();
        Timestamp::from_second(seconds).map_err(|_| CertificateError::Unreadable)
    }
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority of a name.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn new(name: &str) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = authority(name).self_signed(&key)?.pem();
        Self::of(certificate, key)
    }

    /// An authority that was made before.
    ///
    /// # Errors
    ///
    /// The certificate or the key is broken.
    pub fn from_pair(pair: &Pair) -> Result<Self, CertificateError> {
        Self::of(pair.certificate.clone(), KeyPair::from_pem(&pair.key)?)
    }

    /// The authority that a folder holds as `ca.crt` and `ca.key`; the folder and they are made where they are missing.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`].
    pub fn open(folder: &Path, name: &str) -> Result<Self, CertificateError> {
        make_folder(folder)?;
        let key = key(&folder.join("ca.key"))?;
        let path = folder.join("ca.crt");
        let certificate = match read_file(&path)? {
            Some(text) => text,
            None => {
                let text = authority(name).self_signed(&key)?.pem();
                write_file(&path, &text, 0o600)?;
                text
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&certificate, key);
        Ok(Self { issuer: issuer.map_err(|error| CertificateError::Broken(path, error))?, certificate })
    }

    fn of(certificate: String, key: KeyPair) -> Result<Self, CertificateError> {
        Ok(Self { issuer: Issuer::from_ca_cert_pem(&certificate, key)?, certificate })
    }

    /// Its own certificate, for others to trust, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its certificate and key, to be kept.
    #[must_use]
    pub fn pair(&self) -> Pair {
        Pair { certificate: self.certificate.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// Issues the certificate of a server that clients reach under `addresses`, DNS names or IP addresses, valid for a
    /// number of days. Unspecified addresses, as `0.0.0.0`, are left out.
    ///
    /// # Errors
    ///
    /// An address can stand in no certificate.
    pub fn server<'a>(
        &self,
        name: &str,
        addresses: impl IntoIterator<Item = &'a str>,
        days: u32,
    ) -> Result<Pair, CertificateError> {
        let mut params = valid_for(name, days);
        serve(&mut params, addresses)?;
        self.issue(&params)
    }

    /// Issues the certificate of what is both a client, as of [`Self::client`], and a server, as of [`Self::server`].
    ///
    /// # Errors
    ///
    /// An address can stand in no certificate.
    pub fn peer<'a>(
        &self,
        user: &str,
        groups: &[&str],
        addresses: impl IntoIterator<Item = &'a str>,
        days: u32,
    ) -> Result<Pair, CertificateError> {
        let mut params = valid_for(user, days);
        serve(&mut params, addresses)?;
        ask(&mut params, groups);
        self.issue(&params)
    }

    /// Issues the certificate of a client, in Kubernetes' terms a user (common name) and its groups (organizations),
    /// valid for a number of days.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn client(&self, user: &str, groups: &[&str], days: u32) -> Result<Pair, CertificateError> {
        let mut params = valid_for(user, days);
        ask(&mut params, groups);
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Result<Pair, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// The private key that a file holds; it is made where it is missing.
///
/// # Errors
///
/// See [`CertificateError`].
pub fn key(path: &Path) -> Result<KeyPair, CertificateError> {
    match read_file(path)? {
        Some(text) => {
            KeyPair::from_pem(&text).map_err(|error| CertificateError::Broken(path.to_owned(), error))
        }
        None => {
            let key = KeyPair::generate()?;
            write_file(path, &key.serialize_pem(), 0o600)?;
            Ok(key)
        }
    }
}

fn serve<'a>(
    params: &mut CertificateParams,
    addresses: impl IntoIterator<Item = &'a str>,
) -> Result<(), CertificateError> {
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    for address in addresses {
        let name = match address.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => continue,
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(address.try_into()?),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    Ok(())
}

fn ask(params: &mut CertificateParams, groups: &[&str]) {
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
}

fn authority(name: &str) -> CertificateParams {
    let mut params = valid_for(name, LONG);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Valid from [`BACKDATED`] days ago for a number of days.
fn valid_for(name: &str, days: u32) -> CertificateParams {
    let midnight = |date: Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let mut params = CertificateParams::default();
    params.not_before = midnight(today.saturating_sub(BACKDATED.days()));
    params.not_after = midnight(today.saturating_add(i64::from(days).days()));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_the_same_when_it_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/pki");
        let first = Authority::open(&path, "test-ca").unwrap();
        let again = Authority::open(&path, "test-ca").unwrap();
        assert_eq!(first.pair(), again.pair());
        let kept = Authority::from_pair(&first.pair()).unwrap();
        assert_eq!(kept.certificate(), first.certificate());
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(path.join("ca.key")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn certificates_expire_when_they_are_told_to() {
        let authority = Authority::new("test-ca").unwrap();
        let now = Timestamp::now().as_second();
        for (days, pair) in [
            (30, authority.server("a", ["localhost", "127.0.0.1", "0.0.0.0"], 30).unwrap()),
            (7, authority.client("alice", &["system:masters"], 7).unwrap()),
        ] {
            let left = (pair.expiry().unwrap().as_second() - now) as f64 / 86_400.0;
            assert!((days as f64 - 1.0..=days as f64).contains(&left), "{left} of {days}");
        }
        let broken = Pair { certificate: "none".to_owned(), key: String::new() };
        assert!(broken.expiry().is_err());
    }

    #[test]
    fn broken_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.key"), "no key").unwrap();
        let error = Authority::open(folder.path(), "test-ca").unwrap_err();
        assert!(error.to_string().contains("ca.key"), "{error}");
        let authority = Authority::new("test-ca").unwrap();
        assert!(authority.server("a", ["\u{e9}"], 1).is_err());
    }
}
