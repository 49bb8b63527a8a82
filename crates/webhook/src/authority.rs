//! The certificate authority of the webhooks, and the leaves that replicas mint from it.
//!
//! One Secret holds the authority. Each replica reads it through the API (a mounted Secret is updated a minute late)
//! and mints a leaf of its own in memory. A new authority is announced before it signs: first it is added to the bundle
//! that API servers trust, and only after they have had time to load it, it replaces the old one.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use palisade_https::{Authority as Issuer, CertificateError, Pair};

/// Age of an authority at which the next one is announced. Its certificate is valid for much longer.
const AUTHORITY_LIFE: Duration = Duration::from_secs(240 * 24 * 3600);
/// Validity of a leaf, in days.
const LEAF_DAYS: u32 = 7;
/// Age at which a leaf is renewed: well before its end, which is a midnight of [`LEAF_DAYS`] later.
const LEAF_LIFE: Duration = Duration::from_secs(4 * 24 * 3600);
/// Time for which a new authority is in the bundle before it signs.
pub(crate) const ANNOUNCED: Duration = Duration::from_secs(300);

/// An error in certificates.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The Secret lacks a key, or a value does not match its key.
    #[error("{0} of the secret is missing or unreadable")]
    Field(&'static str),
    /// A certificate cannot be made.
    #[error(transparent)]
    Make(#[from] CertificateError),
}

/// The authority as its Secret holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    signing: Pair,
    made: Timestamp,
    /// The announced authority, and the time of the announcement.
    next: Option<(Pair, Timestamp)>,
    /// The previous authority: its leaves may still be in use.
    previous: Option<String>,
}

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const MADE: &str = "made";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const NEXT_MADE: &str = "next.made";
const PREVIOUS: &str = "previous.crt";

/// The content of a Secret.
pub(crate) type Data = BTreeMap<String, String>;

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    ///
    /// The certificate cannot be made.
    pub(crate) fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(Self { signing: authority(now)?, made: now, next: None, previous: None })
    }

    /// Parses the Secret's data.
    ///
    /// # Errors
    ///
    /// A part is missing or not valid.
    pub(crate) fn read(data: &Data) -> Result<Self, AuthorityError> {
        let text = |name: &'static str| data.get(name).cloned().ok_or(AuthorityError::Field(name));
        let time = |name: &'static str| text(name)?.parse().map_err(|_| AuthorityError::Field(name));
        let next = match data.contains_key(NEXT_CERTIFICATE) {
            true => {
                let pair = Pair { certificate: text(NEXT_CERTIFICATE)?, key: text(NEXT_KEY)? };
                Some((pair, time(NEXT_MADE)?))
            }
            false => None,
        };
        Ok(Self {
            signing: Pair { certificate: text(CERTIFICATE)?, key: text(KEY)? },
            made: time(MADE)?,
            next,
            previous: data.get(PREVIOUS).cloned(),
        })
    }

    /// The Secret's data.
    pub(crate) fn write(&self) -> Data {
        let mut data = Data::from([
            (CERTIFICATE.to_owned(), self.signing.certificate.clone()),
            (KEY.to_owned(), self.signing.key.clone()),
            (MADE.to_owned(), self.made.to_string()),
        ]);
        if let Some((pair, made)) = &self.next {
            data.insert(NEXT_CERTIFICATE.to_owned(), pair.certificate.clone());
            data.insert(NEXT_KEY.to_owned(), pair.key.clone());
            data.insert(NEXT_MADE.to_owned(), made.to_string());
        }
        if let Some(previous) = &self.previous {
            data.insert(PREVIOUS.to_owned(), previous.clone());
        }
        data
    }

    /// The CA bundle for API servers, in PEM: the signing authority, the announced one, the previous one.
    pub(crate) fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|(pair, _)| pair.certificate.as_str());
        let parts = [Some(self.signing.certificate.as_str()), next, self.previous.as_deref()];
        parts.into_iter().flatten().collect()
    }

    /// The end of the signing certificate's validity.
    ///
    /// # Errors
    ///
    /// The text is not a certificate.
    pub(crate) fn expiry(&self) -> Result<Timestamp, AuthorityError> {
        Ok(self.signing.expiry()?)
    }

    /// The certificate of the announced authority.
    pub(crate) fn announced(&self) -> Option<&str> {
        self.next.as_ref().map(|(pair, _)| pair.certificate.as_str())
    }

    /// The authority as it should be at `now`: announced after [`AUTHORITY_LIFE`], replaced when it has been
    /// `announced` for [`ANNOUNCED`]; `None` if nothing changes. The caller measures that time itself: the
    /// announcement's date is by the clock of the replica that made it, which may be minutes off.
    ///
    /// # Errors
    ///
    /// The certificate cannot be made.
    pub(crate) fn due(&self, now: Timestamp, announced: Duration) -> Result<Option<Self>, AuthorityError> {
        let age = |since: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or_default();
        match &self.next {
            Some((pair, made)) if announced >= ANNOUNCED => Ok(Some(Self {
                signing: pair.clone(),
                made: *made,
                next: None,
                previous: Some(self.signing.certificate.clone()),
            })),
            Some(_) => Ok(None),
            None if age(self.made) >= AUTHORITY_LIFE => {
                Ok(Some(Self { next: Some((authority(now)?, now)), ..self.clone() }))
            }
            None => Ok(None),
        }
    }

    /// A leaf for these names, and the time of its renewal.
    ///
    /// # Errors
    ///
    /// The authority's key cannot be read, or the certificate cannot be made.
    pub(crate) fn leaf(&self, names: &[String], now: Timestamp) -> Result<(Pair, Timestamp), AuthorityError> {
        let name = names.first().map_or("palisade", String::as_str);
        let issuer = Issuer::from_pair(&self.signing)?;
        let leaf = issuer.server(name, names.iter().map(String::as_str), LEAF_DAYS)?;
        Ok((leaf, now + LEAF_LIFE))
    }
}

fn authority(now: Timestamp) -> Result<Pair, AuthorityError> {
    // With equal names, a client that trusts two authorities would have to guess which of them signed.
    Ok(Issuer::new(&format!("palisade-webhook-{}", now.as_second()))?.pair())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, UnixTime};

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_secret_says_what_was_written_to_it() {
        let now = time("2026-11-25T12:00:00Z");
        let first = Authority::generate(now).unwrap();
        let announced = first.due(now + AUTHORITY_LIFE, Duration::ZERO).unwrap().unwrap();
        assert!(announced.announced().is_some_and(|certificate| announced.bundle().contains(certificate)));
        for authority in [&first, &announced] {
            assert_eq!(Authority::read(&authority.write()).unwrap(), *authority);
        }
        let mut data = first.write();
        data.remove(KEY);
        assert!(matches!(Authority::read(&data), Err(AuthorityError::Field(KEY))));
    }

    #[test]
    fn a_new_authority_is_trusted_before_it_signs_and_the_old_one_after() {
        let now = time("2026-11-25T12:00:00Z");
        let old = Authority::generate(now).unwrap();
        assert_eq!(old.due(now, Duration::ZERO).unwrap(), None);
        let later = now + AUTHORITY_LIFE;
        let announced = old.due(later, Duration::ZERO).unwrap().unwrap();
        assert_eq!(announced.signing, old.signing);
        assert_eq!(announced.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        // By a clock that is ten minutes ahead it was announced long ago.
        assert_eq!(announced.due(later + ANNOUNCED * 2, ANNOUNCED / 2).unwrap(), None);
        let changed = announced.due(later, ANNOUNCED).unwrap().unwrap();
        assert_ne!(changed.signing, old.signing);
        assert!(changed.bundle().starts_with(&changed.signing.certificate));
        assert!(changed.bundle().contains(&old.signing.certificate));
        assert_eq!(changed.due(later + ANNOUNCED * 2, ANNOUNCED).unwrap(), None);
    }

    #[test]
    fn a_leaf_is_renewed_before_its_end() {
        let now = Timestamp::now();
        let (leaf, due) =
            Authority::generate(now).unwrap().leaf(&["palisade.x.svc".to_owned()], now).unwrap();
        assert!(now < due && due + Duration::from_secs(24 * 3600) < leaf.expiry().unwrap(), "{due}");
    }

    #[test]
    fn an_api_server_whose_clock_is_off_by_ten_minutes_trusts_a_new_leaf() {
        let now = Timestamp::now();
        let authority = Authority::generate(now).unwrap();
        let (leaf, _) = authority.leaf(&["palisade.x.svc".to_owned()], now).unwrap();
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der(&authority.bundle())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let (leaf, name) = (der(&leaf.certificate), "palisade.x.svc".try_into().unwrap());
        for (minutes, trusts) in [(-10, true), (-60, true), (0, true), (10, true), (9 * 24 * 60, false)] {
            let seconds = u64::try_from(now.as_second() + minutes * 60).unwrap();
            let clock = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let verified = verifier.verify_server_cert(&leaf, &[], &name, &[], clock);
            assert_eq!(verified.is_ok(), trusts, "{minutes} min: {verified:?}");
        }
    }
}
