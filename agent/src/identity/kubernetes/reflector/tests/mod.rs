//! Reflectors against an API server, in this process.

mod load;

use super::*;
use crate::{
    identity::kubernetes::{Setup, connection},
    points::Rules,
};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use narrows_testbed::kubernetes::{ApiServer, Asked, Fault, FaultKind, Resource, Verb as Asks};
use serde_json::json;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lists of an agent that knows the whole cluster.
const SOURCES: [Source; 5] = [
    Source::Namespaces,
    Source::Services,
    Source::Nodes,
    Source::NodePods,
    Source::ClusterPods,
];

/// An API server, and what is known of it.
struct Scene {
    server: ApiServer,
    shared: Arc<Shared>,
    client: Client,
}

impl Scene {
    async fn new() -> Self {
        Self::with(false).await
    }

    /// With a client that asks for no compression, or for it.
    async fn with(is_plain: bool) -> Self {
        let server = ApiServer::start().expect("an API server");
        let file = Kubeconfig::read_from(server.kubeconfig()).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let mut config = config.expect("a configuration");
        config.disable_compression = is_plain;
        let client = connection::client(config).expect("a client");
        let setup = Setup {
            rules: Rules::new(Vec::new()).expect("rules"),
            meshes: crate::identity::kubernetes::Meshes::default(),
            uncovered: Vec::new(),
            pods: 100_000,
            settle: 0,
        };
        let shared = Arc::new(Shared::new(setup, &SOURCES));
        Self { server, shared, client }
    }

    /// Starts to follow a list; ended with the runtime.
    fn follow(&self, source: Source) {
        let reflector = Reflector {
            client: self.client.clone(),
            place: Place::new(source, "n1", None),
            shared: self.shared.clone(),
            relist: None,
            random: || 1.0,
        };
        tokio::spawn(reflector.run());
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.server.asked());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn watched(&self, resource: Resource, watches: usize) {
        let what = format!("{watches} watches of {resource}");
        self.until(&what, || self.server.watches(resource) == watches).await;
    }

    /// Requests of a kind with this field selector.
    fn asked(&self, verb: Asks, selector: Option<&str>) -> Vec<Asked> {
        let mut asked = self.server.asked();
        asked.retain(|asked| asked.verb == Some(verb) && asked.field_selector.as_deref() == selector);
        asked
    }
}

fn pod(n: usize, node: &str) -> serde_json::Value {
    json!({ "metadata": { "namespace": "shop", "name": format!("pod-{n}") }, "spec": { "nodeName": node } })
}

const OTHERS: Option<&str> = Some("spec.nodeName!=n1");
const OWN: Option<&str> = Some("spec.nodeName=n1");

#[tokio::test]
async fn all_pods_are_listed_again_after_a_delay_and_this_nodes_at_once() {
    const PODS: usize = 2_000;
    const NODES: usize = 160;
    let scene = Scene::new().await;
    let nodes = (0..NODES).map(|n| json!({ "metadata": { "name": format!("n{n}") } }));
    scene.server.put_all(Resource::Nodes, nodes);
    scene.server.put_all(Resource::Pods, (0..PODS).map(|n| pod(n, "n2")));
    for source in [Source::Nodes, Source::NodePods, Source::ClusterPods] {
        scene.follow(source);
    }
    scene.watched(Resource::Nodes, 1).await;
    scene.watched(Resource::Pods, 2).await;
    let first = scene.asked(Asks::List, OTHERS).len();
    let before = Instant::now();
    scene.server.expire_watches();
    let lists = |selector, more| scene.asked(Asks::List, selector).len() == more;
    scene
        .until("another list of all pods", || lists(OTHERS, 2 * first))
        .await;
    let again = &scene.asked(Asks::List, OTHERS)[first];
    let least = delay(PODS, NODES, 1.0);
    assert!(least > Duration::from_secs(2), "{least:?}");
    assert!(again.at - before >= least, "{:?} of {least:?}", again.at - before);
    // The others have not waited for that.
    for selector in [OWN, None] {
        let asked = scene.asked(Asks::List, selector);
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked[1].at < again.at);
    }
}

#[tokio::test]
async fn this_nodes_pods_never_go_back_and_come_from_the_database_if_need_be() {
    let scene = Scene::new().await;
    scene.server.put(Resource::Pods, pod(0, "n1"));
    scene.follow(Source::NodePods);
    scene.watched(Resource::Pods, 1).await;
    scene.server.put(Resource::Pods, pod(1, "n1"));
    let known = |pods| scene.shared.directory().count(Source::NodePods) == pods;
    scene.until("the second pod", || known(2)).await;

    scene.server.expire_watches();
    scene
        .until("a second list", || scene.asked(Asks::List, OWN).len() == 2)
        .await;
    scene.watched(Resource::Pods, 1).await;
    // As after a restored backup: the version is of the future.
    let too_large = FaultKind::Status(504, "Timeout: Too large resource version".to_owned());
    scene.server.fault(Fault::new(too_large).verb(Asks::List).times(1));
    scene.server.expire_watches();
    scene
        .until("two more lists", || scene.asked(Asks::List, OWN).len() == 4)
        .await;
    let asked = scene.asked(Asks::List, OWN);
    let versions: Vec<_> = asked.iter().map(|asked| asked.resource_version.as_deref()).collect();
    assert_eq!(versions, [Some("0"), Some("3"), Some("3"), None]);
    assert_eq!(asked[3].limit, Some(500));
    scene.until("both pods", || known(2)).await;
}

#[tokio::test]
async fn an_api_server_that_was_away_for_long_is_asked_for_the_changes_only() {
    let scene = Scene::new().await;
    scene.server.put(Resource::Pods, pod(0, "n2"));
    scene.follow(Source::ClusterPods);
    scene.watched(Resource::Pods, 1).await;
    scene.server.stop();
    scene.server.put(Resource::Pods, pod(1, "n2"));
    let failures = || {
        let mut directory = scene.shared.directory_mut();
        directory
            .status_mut(Source::ClusterPods)
            .map_or(0, |status| status.failures)
    };
    scene.until("many attempts", || failures() > u64::from(ATTEMPTS)).await;
    scene.server.resume().expect("the same port");
    scene.watched(Resource::Pods, 1).await;
    scene
        .until("the new pod", || {
            scene.shared.directory().count(Source::ClusterPods) == 2
        })
        .await;
    assert_eq!(scene.asked(Asks::List, OTHERS).len(), 1);
}
