//! Tokens of a cluster, which an API server reviews.

use super::{
    super::{Reviews, reviews::LASTS},
    *,
};
use crate::identity::kubernetes::Reviewer;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use narrows_testbed::kubernetes::{ApiServer, Fault, FaultKind};

const POINTS: &str = "/api/v1/points";

/// A server of the agent's, and the API server that it asks.
struct Cluster {
    api: ApiServer,
    files: TestFiles,
    server: Running,
}

impl Cluster {
    async fn start(audiences: &[&str], lasts: Duration) -> Self {
        let (api, files) = (ApiServer::start().expect("an API server"), TestFiles::new());
        let file = Kubeconfig::read_from(api.kubeconfig()).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let audiences: Vec<_> = audiences.iter().copied().map(str::to_owned).collect();
        let reviewer = Reviewer::at(config.expect("a configuration"), &audiences).expect("a client");
        let server = guarded(files.gate(true, true, Some(Reviews::lasting(reviewer, lasts)))).await;
        Self { api, files, server }
    }

    /// The status and the problem, which is empty when there is none.
    async fn ask(&self, path: &str, authorization: Option<&str>) -> (u16, Problem) {
        let answer = ask_for(path, &self.server, &self.files.servers, None, authorization).await;
        let (status, body) = answer.expect("an answer");
        let problem = serde_json::from_str(&body).unwrap_or(Problem {
            error: String::new(),
            message: String::new(),
        });
        (status, problem)
    }

    async fn status(&self, path: &str, token: &str) -> u16 {
        self.ask(path, Some(&format!("Bearer {token}"))).await.0
    }

    /// The requests for reviews of tokens and of access so far.
    fn reviews(&self) -> [usize; 2] {
        let asked = self.api.asked();
        ["/tokenreviews", "/subjectaccessreviews"]
            .map(|end| asked.iter().filter(|asked| asked.path.ends_with(end)).count())
    }
}

#[tokio::test]
async fn who_has_a_role_is_served_and_the_others_are_told_what_they_lack() {
    let cluster = Cluster::start(&[], LASTS).await;
    cluster.api.issue("of-ada", "ada", &[]);
    cluster.api.issue("of-eve", "eve", &[]);
    cluster.api.issue("of-another", "ada", &["another"]);
    cluster.api.allow("ada", "/narrows/*");
    for path in [POINTS, "/api/v1/status", "/metrics", "/"] {
        assert_eq!(cluster.status(path, "of-ada").await, 200, "{path}");
        let (status, problem) = cluster.ask(path, Some("Bearer of-eve")).await;
        assert_eq!((status, problem.error.as_str()), (403, "forbidden"), "{path}");
        let expected = format!("\"eve\" may not get /narrows{path}: bind the ClusterRole narrows-reader");
        assert!(problem.message.starts_with(&expected), "{}", problem.message);
    }
    for refused in [
        Some("Bearer nobody"),
        Some("Bearer of-another"),
        Some("Bearer "),
        Some("of-ada"),
        None,
    ] {
        let (status, problem) = cluster.ask(POINTS, refused).await;
        assert_eq!(
            (status, problem.error.as_str()),
            (401, "unauthenticated"),
            "{refused:?}"
        );
    }
    // The agent's own token, and certificates, need no API server.
    cluster.api.stop();
    assert_eq!(cluster.status(POINTS, TOKEN).await, 200);
    let known = cluster.files.clients.issue("page").expect("a certificate");
    let answer = ask(&cluster.server, &cluster.files.servers, Some(&known), None).await;
    assert_eq!(answer.expect("an answer").0, 200);
}

#[tokio::test]
async fn a_path_is_allowed_by_itself_and_without_its_query() {
    let cluster = Cluster::start(&[], LASTS).await;
    cluster.api.issue("of-ada", "ada", &[]);
    cluster.api.allow("ada", "/narrows/api/v1/points");
    for (path, expected) in [
        (POINTS, 200),
        ("/api/v1/points?limit=1", 200),
        ("/api/v1/points?limit=none", 400),
        ("/api/v1/points/x", 403),
        ("/api/v1/status", 403),
        // Not the same to a role, and so not to the agent.
        ("/api/v1/%70oints", 403),
        ("/api/v1/status/../points", 403),
    ] {
        assert_eq!(cluster.status(path, "of-ada").await, expected, "{path}");
    }
}

#[tokio::test]
async fn with_audiences_only_tokens_for_one_of_them_are_taken() {
    let cluster = Cluster::start(&["narrows", "telemetry"], LASTS).await;
    cluster.api.issue("for-narrows", "ada", &["other", "narrows"]);
    cluster.api.issue("for-the-api-server", "ada", &[]);
    cluster.api.allow("ada", "/narrows/*");
    assert_eq!(cluster.status(POINTS, "for-narrows").await, 200);
    assert_eq!(cluster.status(POINTS, "for-the-api-server").await, 401);
}

#[tokio::test]
async fn answers_are_kept_whether_they_permit_or_deny() {
    let cluster = Cluster::start(&[], LASTS).await;
    cluster.api.issue("of-ada", "ada", &[]);
    cluster.api.issue("of-eve", "eve", &[]);
    cluster.api.allow("ada", "/narrows/*");
    for (token, path, status, reviews) in [
        ("of-ada", POINTS, 200, [1, 1]),
        ("of-ada", "/api/v1/status", 200, [1, 2]),
        ("of-eve", POINTS, 403, [2, 3]),
        ("nobody", POINTS, 401, [3, 3]),
        ("nobody", "/api/v1/status", 401, [3, 3]),
    ] {
        for _ in 0..3 {
            assert_eq!(cluster.status(path, token).await, status, "{token} {path}");
            assert_eq!(cluster.reviews(), reviews, "{token} {path}");
        }
    }
    // Those who come at the same time wait for one answer.
    let together = futures_util::future::join_all((0..20).map(|_| cluster.status("/metrics", "of-ada"))).await;
    assert_eq!(together, [200; 20]);
    assert_eq!(cluster.reviews(), [3, 4]);
}

#[tokio::test]
async fn answers_expire() {
    let cluster = Cluster::start(&[], Duration::from_millis(200)).await;
    cluster.api.issue("of-ada", "ada", &[]);
    assert_eq!(cluster.status(POINTS, "of-ada").await, 403);
    cluster.api.allow("ada", "/narrows/*");
    until("the role", async || cluster.status(POINTS, "of-ada").await == 200).await;
    cluster.api.revoke("of-ada");
    until("the revocation", async || cluster.status(POINTS, "of-ada").await == 401).await;
}

#[tokio::test]
async fn an_api_server_that_gives_no_answer_is_no_denial() {
    let cluster = Cluster::start(&[], LASTS).await;
    cluster.api.issue("of-ada", "ada", &[]);
    cluster.api.allow("ada", "/narrows/*");
    let said = async || {
        let (status, problem) = cluster.ask(POINTS, Some("Bearer of-ada")).await;
        assert_eq!(
            (status, problem.error.as_str()),
            (503, "unreviewed"),
            "{}",
            problem.message
        );
        problem.message
    };
    cluster.api.stop();
    let away = said().await;
    assert!(
        away.starts_with(
            "the bearer token cannot be checked: cannot create tokenreviews: the API server cannot be reached: "
        ),
        "{away}"
    );
    cluster.api.resume().expect("its port");
    cluster.api.delegate(false);
    let forbidden = said().await;
    assert!(
        forbidden.contains("may not create tokenreviews: bind it to the ClusterRole system:auth-delegator"),
        "{forbidden}"
    );
    cluster.api.delegate(true);
    let faults = [
        (
            FaultKind::Status(500, "etcd is away".into()),
            "the API server answered 500: etcd is away",
        ),
        (
            FaultKind::Garbage,
            "cannot create tokenreviews: the API server's answer cannot be read: ",
        ),
        (FaultKind::Close, "the API server cannot be reached: "),
        (FaultKind::Hang, "no answer within 15 s"),
    ];
    for (kind, expected) in faults {
        cluster.api.fault(Fault::new(kind));
        let found = said().await;
        assert!(found.contains(expected), "{found}");
        cluster.api.clear_faults();
    }
    // As soon as it answers, without waiting for anything to expire.
    assert_eq!(cluster.status(POINTS, "of-ada").await, 200);
    // What is known stays known while it is away.
    cluster.api.stop();
    assert_eq!(cluster.status(POINTS, "of-ada").await, 200);
    assert!(
        cluster
            .ask("/api/v1/status", Some("Bearer of-ada"))
            .await
            .1
            .message
            .contains("subjectaccessreviews")
    );
}
