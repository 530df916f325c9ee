//! The inventory file of the demo, which identifies workloads and points without a Kubernetes API.

use std::fmt::Write as _;

use super::mesh::{CLIENTS, Member, SERVERS, TOP, WAYPOINT};

/// The contents of the file.
pub(super) fn text() -> String {
    let mut text = String::from("trust_domain: cluster.local\nworkloads:\n");
    for member @ Member { name, namespace, .. } in CLIENTS.iter().chain(&SERVERS) {
        let addresses = addresses(member);
        let _infallible = writeln!(
            text,
            "  - {{ name: {name}, namespace: {namespace}, service_account: {name}, addresses: {addresses}, \
             netns: /run/netns/{name}, cgroup: /{TOP}/{name} }}"
        );
    }
    let Member { name, namespace, .. } = WAYPOINT;
    let addresses = addresses(&WAYPOINT);
    let _infallible = write!(
        text,
        "points:\n  \
           - {{ name: {name}, namespace: {namespace}, kind: waypoint, mesh: istio, addresses: {addresses}, \
             cgroup: /{TOP}/{name} }}\n  \
           - {{ name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: /{TOP}/ztunnel }}\n"
    );
    text
}

fn addresses(member: &Member) -> String {
    // Quoted, because a colon in a flow sequence ends a plain scalar.
    format!("[\"{}\", \"{}\"]", member.ip(), member.ip6())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_everyone_once() {
        let text = text();
        for line in [
            "  - { name: payments, namespace: billing, service_account: payments, \
             addresses: [\"10.90.0.14\", \"fd00:90::14\"], netns: /run/netns/payments, cgroup: /narrows-demo/payments }\n",
            "  - { name: ztunnel, namespace: istio-system, kind: ztunnel, mesh: istio, cgroup: /narrows-demo/ztunnel }\n",
        ] {
            assert_eq!(text.matches(line).count(), 1, "{text}");
        }
        assert_eq!(text.matches("netns:").count(), 6);
    }
}
