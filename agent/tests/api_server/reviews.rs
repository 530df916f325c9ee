//! Who reads the API with a token of the cluster: those whom the API server's roles allow it.

use crate::common::{binary, cluster::Cluster};
use narrows_testbed::{
    agent::{Agent, free_address},
    authority::Authority,
    command,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A cluster, and the files of an agent that serves its API to those whom the cluster allows it.
struct Guarded {
    cluster: Cluster,
    files: TempDir,
    address: SocketAddr,
}

impl Guarded {
    fn new() -> Self {
        let guarded = Self {
            cluster: Cluster::new(),
            files: tempfile::tempdir().expect("a directory"),
            address: free_address().expect("a port"),
        };
        let authority = Authority::new("cluster").expect("an authority");
        let identity = authority.issue("narrows").expect("a certificate");
        guarded.write("ca.crt", &authority.pem());
        guarded.write("tls.crt", &identity.certificate_pem);
        guarded.write("tls.key", &identity.key_pem);
        guarded
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.files.path().join(name);
        fs::write(&file, text).expect("written");
        file
    }

    fn configuration(&self) -> String {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        self.cluster.configuration(&format!(
            "api_listen: {}\napi: {{ certificate: {}, key: {}, kubernetes: true, audiences: [narrows] }}\n",
            self.address,
            path("tls.crt"),
            path("tls.key")
        ))
    }

    fn start(&self) -> Agent {
        self.cluster.start(&["--config", &self.configuration()])
    }

    /// Asks for failures, as somebody with this token does.
    fn ask(&self, token: &str) -> Output {
        let token = self.write("token", token);
        let url = format!("https://{}", self.address);
        let mut narrows = Command::new(binary());
        narrows.args(["failures", "--agent", &url]);
        narrows.arg("--ca-file").arg(self.files.path().join("ca.crt"));
        narrows.arg("--bearer-token-file").arg(token);
        command::output(&mut narrows).expect("it runs")
    }

    #[track_caller]
    fn refused(&self, token: &str, expected: &str) {
        let output = self.ask(token);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }

    /// The row of `narrows check` about reviews.
    fn checked(&self, kubeconfig: &Path) -> String {
        let mut narrows = Command::new(binary());
        narrows.args(["check", "--kubernetes", "on", "--node", "here"]);
        narrows.args(["--config", &self.configuration()]);
        narrows.env("KUBECONFIG", kubeconfig);
        let output = command::output(&mut narrows).expect("it runs");
        let table = String::from_utf8_lossy(&output.stdout);
        let row = table.lines().find(|row| row.starts_with("api.kubernetes"));
        row.unwrap_or_else(|| panic!("no row: {table}")).to_owned()
    }
}

#[test]
fn the_roles_of_the_cluster_say_who_reads_the_api() {
    let guarded = Guarded::new();
    let api = &guarded.cluster.api;
    api.issue("token-of-ada", "ada", &["narrows"]);
    api.issue("token-of-eve", "eve", &["narrows"]);
    api.issue("token-for-others", "ada", &[]);
    api.allow("ada", "/narrows/*");
    let agent = guarded.start();
    let output = guarded.ask("token-of-ada");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("knows of no failed"), "{said}");
    guarded.refused(
        "token-of-eve",
        "403 Forbidden: \"eve\" may not get /narrows/api/v1/failures: bind the ClusterRole narrows-reader",
    );
    guarded.refused(
        "token-for-others",
        "401 Unauthorized: the Kubernetes API server does not accept the bearer token",
    );
    api.delegate(false);
    guarded.refused(
        "another",
        "may not create tokenreviews: bind it to the ClusterRole system:auth-delegator",
    );
    let logged = "requests with a token of the cluster get 503";
    guarded.refused("yet another", "(503 Service Unavailable)");
    assert_eq!(agent.stderr().matches(logged).count(), 1, "{}", agent.stderr());
    // Metrics, at the other address, go on for everybody.
    agent.settle();
}

#[test]
fn check_says_whether_the_account_may_ask() {
    let guarded = Guarded::new();
    let kubeconfig = guarded.cluster.api.kubeconfig();
    let row = guarded.checked(kubeconfig);
    assert!(
        row.contains("  ok  ") && row.contains("tokens and access may be reviewed"),
        "{row}"
    );
    guarded.cluster.api.delegate(false);
    let row = guarded.checked(kubeconfig);
    assert!(
        row.contains("  off  ") && row.contains("system:auth-delegator"),
        "{row}"
    );
    let row = guarded.checked(Path::new(""));
    assert!(
        row.contains("  MISSING  ") && row.contains("there is no cluster"),
        "{row}"
    );
}
