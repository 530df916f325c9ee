//! Certificates in PEM files.

use anyhow::ensure;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The certificates in the contents of a file.
///
/// # Errors
/// It has none, or something that is no certificate.
pub fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    ensure!(
        !all.is_empty(),
        "there is none in it: expected PEM, with lines `-----BEGIN CERTIFICATE-----`"
    );
    Ok(all)
}

/// The certificates in the contents of a file, as those of CAs to trust.
///
/// # Errors
/// It has none, or one that cannot be used.
pub fn roots(pem: &[u8]) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem)? {
        roots.add(authority)?;
    }
    Ok(roots)
}
