//! The certificates and keys of a server: created at first start, kept in `DIR/pki`.

use std::path::Path;

use palisade_api::kind::allocation::FIRST;
use palisade_https::{Authority, CertificateError, LONG, Pair, key, read_file, write_file};

/// The names under which every server is reached, those of the service `kubernetes` included.
const ADDRESSES: [&str; 8] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
    FIRST,
];

/// Whether a name is the server's, also where pods look it up by the domain of the cluster.
pub(crate) fn is_servers(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ADDRESSES.contains(&name.as_str()) || name.starts_with("kubernetes.default.svc.")
}

/// The name under which the server connects to nodes, which accept no other.
const TO_NODES: &str = "system:palisade:apiserver";

/// The keys and certificates that a server needs to authenticate itself and others.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The certificate of the authority, in PEM.
    pub(crate) ca: String,
    /// The server's certificate, new at each start.
    pub(crate) server: Pair,
    /// The administrator's certificate: `system:admin` of `system:masters`.
    pub(crate) admin: Pair,
    /// The client certificate for connections to nodes.
    pub(crate) to_nodes: Pair,
    /// The authority that signs all certificates.
    pub(crate) authority: Authority,
    /// The private key of service accounts' tokens, in PEM.
    pub(crate) account_key: String,
    /// The public key for it.
    pub(crate) account_public: String,
}

impl Pki {
    /// Reads the keys of a folder and creates the missing ones. `addresses` are further names that clients use for the
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        drop(Authority::open(&folder.path().join("pki"), "palisade-ca"));
        for (name, is_fine) in [
            ("worker", true),
            ("kubernetes-1", true),
            ("192.0.2.8", true),
            ("kubernetes.default.svc", false),
            ("Kubernetes.Default", false),
            ("kubernetes.default.svc.cluster.local", false),
            ("localhost", false),
            ("127.0.0.1", false),
            ("10.96.0.1", false),
            ("api.example", false),
            ("192.0.2.7", false),
        ] {
            let addresses = ["192.0.2.8".parse().unwrap()];
            let made = crate::node_credentials(folder.path(), "https://api.example:6443", name, &addresses);
            assert_eq!(made.is_ok(), is_fine, "{name}: {made:?}");
        }
    }
}
