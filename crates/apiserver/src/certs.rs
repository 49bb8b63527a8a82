//! The certificates of a server of its own: made at first start, kept in `DIR/pki`.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// How long certificates are good for, in years; the server's own is made anew at each start.
const YEARS: i32 = 10;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(PathBuf, #[source] std::io::Error),
    /// A file holds no key or certificate.
    #[error("{0} holds no usable key or certificate")]
    Broken(PathBuf, #[source] rcgen::Error),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its private key.
    pub(crate) key: String,
}

/// Everything that a server needs to show who it is, and to know who others are.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The certificate that everything else is signed with.
    pub(crate) ca: String,
    /// The server's own.
    pub(crate) server: Pair,
    /// The administrator's: `system:admin` of `system:masters`.
    pub(crate) admin: Pair,
    /// The key of service accounts' tokens.
    pub(crate) account_key: String,
    /// Its public half.
    pub(crate) account_public: String,
}

/// Reads what is there and makes what is missing. `addresses` are the names that clients use for the server.
pub(crate) fn prepare(folder: &Path, addresses: &[String]) -> Result<Pki, CertError> {
    fs::create_dir_all(folder).map_err(|error| CertError::Io(folder.to_owned(), error))?;
    let ca_key_path = folder.join("ca.key");
    let ca_key = key(&ca_key_path)?;
    let ca_path = folder.join("ca.crt");
    let ca = match read(&ca_path)? {
        Some(text) => text,
        None => {
            let text = authority()?.self_signed(&ca_key)?.pem();
            write(&ca_path, &text, 0o600)?;
            text
        }
    };
    let broken = |error| CertError::Broken(ca_path.clone(), error);
    let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).map_err(broken)?;
    let account = key(&folder.join("sa.key"))?;
    Ok(Pki {
        server: leaf(&issuer, server(addresses)?)?,
        admin: admin(folder, &issuer)?,
        account_public: account.public_key_pem(),
        account_key: account.serialize_pem(),
        ca,
    })
}

/// The administrator's certificate stays the same, so that copies of its kubeconfig go on working.
fn admin(folder: &Path, issuer: &Issuer<'_, KeyPair>) -> Result<Pair, CertError> {
    let (certificate, key) = (folder.join("admin.crt"), folder.join("admin.key"));
    if let (Some(certificate), Some(key)) = (read(&certificate)?, read(&key)?) {
        return Ok(Pair { certificate, key });
    }
    let mut params = client("system:admin");
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    let pair = leaf(issuer, params)?;
    write(&key, &pair.key, 0o600)?;
    write(&certificate, &pair.certificate, 0o600)?;
    Ok(pair)
}

fn leaf(issuer: &Issuer<'_, KeyPair>, params: CertificateParams) -> Result<Pair, CertError> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn dated(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let year = i32::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority() -> Result<CertificateParams, CertError> {
    let mut params = dated("palisade-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn client(name: &str) -> CertificateParams {
    let mut params = dated(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn server(addresses: &[String]) -> Result<CertificateParams, CertError> {
    let mut params = dated("palisade");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let own = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "::1"];
    for address in own.into_iter().map(str::to_owned).chain(addresses.iter().cloned()) {
        let name = match address.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => continue,
            Ok(address) => rcgen::SanType::IpAddress(address),
            Err(_) => rcgen::SanType::DnsName(address.try_into()?),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    Ok(params)
}

/// Reads a private key, or makes one.
fn key(path: &Path) -> Result<KeyPair, CertError> {
    match read(path)? {
        Some(text) => KeyPair::from_pem(&text).map_err(|error| CertError::Broken(path.to_owned(), error)),
        None => {
            let key = KeyPair::generate()?;
            write(path, &key.serialize_pem(), 0o600)?;
            Ok(key)
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, CertError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CertError::Io(path.to_owned(), error)),
    }
}

/// Writes a file whole or not at all, so that a crash leaves no half key. `mode` is the file's, as for `chmod`.
///
/// # Errors
///
/// The file or its folder cannot be written.
pub fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let io = |error| CertError::Io(path.to_owned(), error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody can guess its name, and nobody else's file is in its place.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".palisade-").rand_bytes(16).permissions(fs::Permissions::from_mode(mode));
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(io)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(io)?;
    file.persist(path).map(drop).map_err(|error| io(error.error))
}
