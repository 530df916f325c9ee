//! An API server under the control of tests.
//!
//! It implements the part of the protocol that a client needs for lists and watches: HTTPS, a bearer token, pages from
//! one consistent state, selectors, resource versions that expire, bookmarks, compression. It serves the objects that a
//! test puts into it, and injects the faults that a test sets. Beside these, `kubectl apply` may write objects, and it reviews
//! tokens and access.

mod answer;
mod fault;
mod list;
mod object;
mod options;
mod question;
mod resource;
mod review;
mod selector;
mod serve;
mod shared;
mod signals;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

pub use fault::{Fault, FaultKind};
pub use question::Asked;
pub use resource::{Resource, Verb};

use crate::sync::lock;
use crate::wait;
use serve::Running;
use shared::Shared;

/// How often a watch gets a bookmark when nothing else is set.
const BOOKMARK_EVERY: Duration = Duration::from_secs(10);

/// How long the port may be in use by another process when the server resumes on it.
const PORT: Duration = Duration::from_secs(5);

/// A running API server; stopped when the guard is dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
    address: SocketAddr,
    ca_pem: String,
    tls: TlsAcceptor,
    kubeconfig: PathBuf,
    _directory: TempDir,
}

impl ApiServer {
    /// Starts an empty one on a free port of 127.0.0.1.
    pub fn start() -> Result<Self> {
        let identity = tls::Identity::new().context("make the API server's certificates")?;
        let token = tls::new_token();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
        let address = listener.local_addr()?;
        let directory = tempfile::Builder::new().prefix("narrows-kube-").tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        fs::write(&kubeconfig, tls::kubeconfig(address, &identity.ca_pem, &token))
            .with_context(|| format!("write {}", kubeconfig.display()))?;
        let shared = Arc::new(Shared::new(token, BOOKMARK_EVERY));
        let tls = TlsAcceptor::from(identity.config);
        let running = Running::start(listener, tls.clone(), shared.clone())?;
        Ok(Self {
            shared,
            running: Mutex::new(Some(running)),
            address,
            ca_pem: identity.ca_pem,
            tls,
            kubeconfig,
            _directory: directory,
        })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig for it, with its certificate authority and token inside.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Its certificate authority, as in `ca.crt` of a service-account directory.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The token that it accepts, as in `token` of a service-account directory.
    pub fn token(&self) -> &str {
        self.shared.token()
    }

    /// Creates an object, or replaces the one with its namespace and name.
    ///
    /// `kind` and `apiVersion` may be left out; a namespace that is left out is `default`. A replaced object keeps its
    /// uid and creation time when the new one has none.
    ///
    /// # Panics
    /// When the object has no `metadata.name`.
    pub fn put(&self, resource: Resource, object: Value) {
        self.shared.store().put(resource, object);
        self.shared.signals.changed.send_replace(());
    }

    /// Calls [`ApiServer::put`] for each object.
    pub fn put_all(&self, resource: Resource, objects: impl IntoIterator<Item = Value>) {
        for object in objects {
            self.put(resource, object);
        }
    }

    /// Deletes an object, and returns whether it existed. The namespace is empty for cluster-scoped objects.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> bool {
        let deleted = self.shared.store().delete(resource, namespace, name);
        self.shared.signals.changed.send_replace(());
        deleted
    }

    /// Injects a fault from now on. Of several faults, the first that matches a request applies.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults().push(fault);
    }

    /// Removes all faults; a request that hangs already stays so until its connection ends.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Freezes a resource in its current state until it is released: an API server whose cache lags.
    pub fn hold(&self, resource: Resource) {
        self.shared.store().hold(resource);
    }

    /// Releases a frozen resource, and sends the changes that happened meanwhile to its watches.
    pub fn release(&self, resource: Resource) {
        self.shared.store().release(resource);
        self.shared.signals.changed.send_replace(());
    }

    /// Discards the history: a watch from an older version and a further page of an older list get 410 Expired.
    pub fn compact(&self) {
        self.shared.store().compact();
    }

    /// Sends a bookmark to all watches that asked for them.
    pub fn bookmark(&self) {
        self.shared.signals.bookmark.send_replace(());
    }

    /// Sets the interval of automatic bookmarks; 10 s by default.
    pub fn bookmark_every(&self, interval: Duration) {
        self.shared.signals.bookmark_every.send_replace(interval);
    }

    /// Cuts the connections of all watches.
    pub fn drop_watches(&self) {
        self.shared.signals.drop.send_replace(());
    }

    /// Sends all watches the event that their version is too old, and ends them.
    pub fn expire_watches(&self) {
        self.shared.signals.expire.send_replace(());
    }

    /// The number of open watches of a resource.
    pub fn watches(&self, resource: Resource) -> usize {
        self.shared.watches(resource)
    }

    /// Refuses connections and cuts open ones. Its objects are kept.
    pub fn stop(&self) {
        if let Some(running) = lock(&self.running).take() {
            running.stop();
        }
    }

    /// Resumes on the same port after [`ApiServer::stop`].
    pub fn resume(&self) -> Result<()> {
        let mut running = lock(&self.running);
        if running.is_some() {
            return Ok(());
        }
        let what = format!("the API server's port {} to be free again", self.address);
        let listener = wait::until(&what, PORT, || TcpListener::bind(self.address).ok())?;
        *running = Some(Running::start(listener, self.tls.clone(), self.shared.clone())?);
        Ok(())
    }

    /// Makes it one of Kubernetes 1.`minor`, where versions differ in what they answer.
    pub fn is_version(&self, minor: u32) {
        self.shared.set_minor(minor);
    }

    /// It forgets its roles, as one that has just started and has not loaded them: requests for any resource get 403.
    pub fn forget_roles(&self) {
        self.shared.set_has_roles(false);
    }

    /// It has loaded its roles.
    pub fn load_roles(&self) {
        self.shared.set_has_roles(true);
    }

    /// From now on a token is that of a user, for these audiences; without any, for the API server itself.
    pub fn issue(&self, token: &str, user: &str, audiences: &[&str]) {
        self.shared.reviews().issue(token, user, audiences);
    }

    /// A token becomes invalid.
    pub fn revoke(&self, token: &str) {
        self.shared.reviews().revoke(token);
    }

    /// Lets a user or a group get a path that is no resource, or with `*` at the end all that begin with it.
    pub fn allow(&self, user_or_group: &str, path: &str) {
        self.shared.reviews().allow(user_or_group, path);
    }

    /// Whether the agent's account may review tokens and access, as the role `system:auth-delegator` allows; it may by default.
    pub fn delegate(&self, may_review: bool) {
        self.shared.reviews().is_delegated = may_review;
    }

    /// The objects that clients have created and applied, by their paths, as a real server stores them.
    pub fn written(&self) -> BTreeMap<String, Value> {
        self.shared.written().all()
    }

    /// All requests so far, in order of arrival.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked().clone()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}
