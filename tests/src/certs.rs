//! A certificate authority per cluster, and its brokers' certificate.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::error::{Doing, Result};
use crate::login::ClientCertificate;

/// Where a cluster's PEM files lie.
#[derive(Clone)]
pub(crate) struct Certificates {
    /// The authority's certificate, for clients.
    pub(crate) ca: PathBuf,
    /// The brokers' key and certificate chain, for `ssl.keystore.location`.
    pub(crate) broker: PathBuf,
    /// Whose brokers these are.
    cluster: String,
    /// Signs certificates of clients and brokers.
    issuer: Arc<Issuer<'static, KeyPair>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Makes an authority of its own and a certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn create(folder: &Path, cluster: &str) -> Result<Self> {
        let mut ca_params = CertificateParams::new(Vec::new())?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca_params
            .distinguished_name
            .push(DnType::CommonName, format!("lab authority of {cluster}"));
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca_params.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca_params, ca_key);

        let files = Self {
            ca: folder.join("ca.pem"),
            broker: folder.join("broker.pem"),
            cluster: cluster.to_owned(),
            issuer: Arc::new(issuer),
        };
        fs::write(&files.ca, ca_certificate.pem())
            .doing(format!("write {}", files.ca.display()))?;
        files.renew_brokers(false)?;
        Ok(files)
    }

    /// Gives the brokers another certificate, which they serve from their next start on; one that ended years ago, if
    /// told so.
    pub(crate) fn renew_brokers(&self, expired: bool) -> Result<()> {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, format!("broker of {}", self.cluster));
        params.use_authority_key_identifier_extension = true;
        if expired {
            expire(&mut params);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &*self.issuer)?;
        let ca = fs::read_to_string(&self.ca).doing(format!("read {}", self.ca.display()))?;
        let chain = format!("{}{}{ca}", key.serialize_pem(), certificate.pem());
        fs::write(&self.broker, chain).doing(format!("write {}", self.broker.display()))
    }

    /// A client's certificate, signed by the cluster's authority; replaces the files of an earlier one of that name.
    pub(crate) fn client(
        &self,
        folder: &Path,
        name: &str,
        expired: bool,
    ) -> Result<ClientCertificate> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            expire(&mut params);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &*self.issuer)?;
        let files = ClientCertificate {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        for (path, text) in [
            (&files.key, key.serialize_pem()),
            (&files.certificate, certificate.pem()),
        ] {
            let aside = path.with_extension("new");
            fs::write(&aside, text).doing(format!("write {}", aside.display()))?;
            fs::rename(&aside, path).doing(format!("write {}", path.display()))?;
        }
        Ok(files)
    }
}

fn expire(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 1);
}
