//! The controls for which the report is evidence. It is evidence, not compliance: each row states what was measured, and the query
//! that reproduces it.

use super::{evidence::Evidence, facts, findings::Findings, percent::percent};
use serde::Serialize;

/// A row of the appendix.
#[derive(Clone, Debug, Serialize)]
pub struct Control {
    /// The framework, and the control in it.
    pub control: &'static str,
    /// What the control asks for, close to its own wording.
    pub asks: &'static str,
    /// What was measured, as a sentence.
    pub figure: String,
    /// The query; `{window}` stands for the report's.
    pub query: String,
}

/// All rows. `window` is that of queries.
pub fn all(evidence: &Evidence, findings: &Findings, window: &str) -> Vec<Control> {
    let known = |value: Option<f64>, what: &str| match value {
        Some(value) => format!("{} {what}", percent(value)),
        None => format!("not known, as no connections were seen: how many {what}"),
    };
    let blind = evidence.agents.values().filter(|agent| !agent.sees_all()).count();
    let alone = findings
        .ranking
        .iter()
        .filter(|rank| rank.without_another_way.is_some_and(|without| without > 0) && rank.missing_redundancy >= 1.0);
    let bypassed = evidence.bypassed();
    let names = [
        ("{window}", window),
        ("{attributed}", facts::ATTRIBUTED),
        ("{enforced}", facts::ENFORCED),
        ("{dependent_active}", facts::DEPENDENT_ACTIVE),
    ];
    let row = |control, asks, figure: String, query: &str| Control {
        control,
        asks,
        figure,
        query: (names.iter()).fold(query.to_owned(), |query, (name, value)| query.replace(name, value)),
    };
    vec![
        row(
            "NIST CSF 2.0 DE.CM-01",
            "Networks and network services are monitored to find potentially adverse events",
            format!(
                "{}; the data of {blind} of {} agents are incomplete",
                known(findings.attributed, "of connection ends are identified"),
                evidence.agents.len()
            ),
            "sum(increase({attributed}{result!=\"unknown\"}[{window}])) / sum(increase({attributed}[{window}]))",
        ),
        row(
            "NIST CSF 2.0 PR.AA (formerly PR.AC-4)",
            "Identity management, authentication, and access control: permissions are defined in a policy, managed, enforced and reviewed",
            format!(
                "{}; {bypassed:.0} connections bypassed an expected point",
                known(findings.enforced, "of the connections that workloads accepted were carried by an enforcement point")
            ),
            "1 - sum(increase({enforced}{enforced_by=\"none\"}[{window}])) / sum(increase({enforced}[{window}]))",
        ),
        row(
            "NIST CSF 2.0 GV.RM-01",
            "Risk management objectives are established and agreed to by organizational stakeholders",
            format!(
                "{} shared points are ranked by risk; {} of them are the only way out of some workload, without redundancy",
                findings.ranking.len(),
                alone.count()
            ),
            "narrows_point:dependents_without_another_way:count and on (cluster, point, kind, mesh) narrows_point:nodes:count == 1",
        ),
        row(
            "OWASP NHI Top 10 NHI1:2025",
            "Improper offboarding: identities that are no longer needed stay active",
            format!(
                "{} workload identities had traffic; check them for identities that should have been removed",
                findings.policy.len()
            ),
            "group by (source_principal) (max_over_time({dependent_active}[{window}]) == 1)",
        ),
        row(
            "OWASP NHI Top 10 NHI3:2025",
            "Vulnerable third-party NHI: what identities of third parties reach",
            format!(
                "{} workloads accepted connections that no point had carried",
                evidence.unenforced.len()
            ),
            "sum by (source_workload_namespace, source_workload, destination_workload_namespace, destination_workload) (increase({enforced}{enforced_by=\"none\"}[{window}])) > 0",
        ),
        row(
            "CSA MAESTRO layers 4 and 6",
            "Deployment and infrastructure; security and compliance: the infrastructure that agents run on, and the controls around them",
            format!(
                "{} points are known, with the dependents of each; {} workloads have pods in different mesh modes",
                evidence.points.len(),
                findings.mixed.len()
            ),
            "narrows_point:dependents:count",
        ),
        row(
            "NIST AI RMF MEASURE 2.4",
            "The functionality and behavior of the AI system and its components are monitored when in production",
            "which identities each workload reaches, and through which points, is measured continuously; the content of connections is not \
            inspected"
                .to_owned(),
            "sum by (source_workload_namespace, source_workload, destination_workload_namespace, destination_workload, enforced_by) (increase({enforced}[{window}]))",
        ),
    ]
}
