//! The certificates and keys of a server of its own: made at first start, kept in `DIR/pki`.

use std::path::Path;

use palisade_https::{Authority, CertificateError, LONG, Pair, key, read_file, write_file};

/// The names under which every server is reached.
const ADDRESSES: [&str; 6] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "::1"];

/// The name under which the server connects to nodes: they let nobody else in.
const TO_NODES: &str = "system:palisade:apiserver";

/// Everything that a server needs to prove who it is, and to know who others are.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The certificate that everything else is signed with, in PEM.
    pub(crate) ca: String,
    /// The server's own, made anew at each start.
    pub(crate) server: Pair,
    /// The administrator's: `system:admin` of `system:masters`.
    pub(crate) admin: Pair,
    /// The one that it shows nodes.
    pub(crate) to_nodes: Pair,
    /// The signer of all certificates.
    pub(crate) authority: Authority,
    /// The private key of service accounts' tokens, in PEM.
    pub(crate) account_key: String,
    /// Its public half.
    pub(crate) account_public: String,
}

impl Pki {
    /// Reads what a folder holds and makes what is missing. `addresses` are further names that clients use for the
    /// server.
    pub(crate) fn open(folder: &Path, addresses: &[String]) -> Result<Self, CertificateError> {
        let authority = Authority::open(folder, "palisade-ca")?;
        let account = key(&folder.join("sa.key"))?;
        let addresses = ADDRESSES.into_iter().chain(addresses.iter().map(String::as_str));
        Ok(Self {
            server: authority.server("palisade", addresses, LONG)?,
            admin: admin(folder, &authority)?,
            account_public: account.public_key_pem(),
            account_key: account.serialize_pem(),
            to_nodes: authority.client(TO_NODES, &[], LONG)?,
            ca: authority.certificate().to_owned(),
            authority,
        })
    }
}

/// The administrator's certificate stays the same, so that copies of its kubeconfig go on working.
fn admin(folder: &Path, authority: &Authority) -> Result<Pair, CertificateError> {
    let (certificate, key) = (folder.join("admin.crt"), folder.join("admin.key"));
    if let (Some(certificate), Some(key)) = (read_file(&certificate)?, read_file(&key)?) {
        return Ok(Pair { certificate, key });
    }
    let pair = authority.client("system:admin", &["system:masters"], LONG)?;
    write_file(&key, &pair.key, 0o600)?;
    write_file(&certificate, &pair.certificate, 0o600)?;
    Ok(pair)
}
