//! Faults that tests inject.

use std::time::Duration;

use super::question::Question;
use super::resource::{Resource, Verb};

/// The user of this server's kubeconfig and service-account directory, as messages name it.
pub(super) const USER: &str = "system:serviceaccount:narrows:narrows";

/// A fault, and the requests that it applies to.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Only requests for this resource; `None` for all, including those for other paths.
    pub resource: Option<Resource>,
    /// Only requests with this verb.
    pub verb: Option<Verb>,
    /// Only requests for a further page of a list.
    pub continued: bool,
    /// What happens to these requests.
    pub kind: FaultKind,
    /// The number of requests that it applies to; `None` for all until the faults are cleared.
    pub times: Option<u32>,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// A failure with this status and message.
    Status(u16, String),
    /// A failure with this status that asks the client to retry after this number of seconds.
    RetryAfter(u16, u32),
    /// 200 with a body that is not JSON.
    Garbage,
    /// No answer; the connection stays open.
    Hang,
    /// The answer is delayed. Combined with the next fault that matches.
    Slow(Duration),
    /// The answer is delayed until the faults are cleared. Combined with the next fault that matches.
    Held,
    /// The connection ends without an answer.
    Close,
    /// 200, then the connection ends within an object: the first of a list, or that of the first event of a watch.
    /// It does not apply to other requests.
    CutBody,
    /// A watch starts with an ERROR event with this status, and ends. It does not apply to other requests.
    WatchError(u16),
}

impl Fault {
    /// A fault that applies to all requests.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            resource: None,
            verb: None,
            continued: false,
            kind,
            times: None,
        }
    }

    /// The answer for a missing permission.
    pub fn forbidden(resource: Resource, verb: Verb) -> Self {
        Self::new(FaultKind::Status(403, forbidden(resource, verb)))
            .on(resource)
            .verb(verb)
    }

    /// Applies it to requests for this resource only.
    pub fn on(mut self, resource: Resource) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Applies it to requests with this verb only.
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Applies it to requests for a further page of a list only.
    pub fn continued(mut self) -> Self {
        self.continued = true;
        self
    }

    /// Applies it to this number of requests only.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn meets(&self, question: &Question) -> bool {
        let possible = match self.kind {
            FaultKind::WatchError(_) => question.verb == Some(Verb::Watch),
            FaultKind::CutBody => matches!(question.verb, Some(Verb::List | Verb::Watch)),
            _ => true,
        };
        self.times != Some(0)
            && (self.resource.is_none() || self.resource == question.resource)
            && (self.verb.is_none() || self.verb == question.verb)
            && (!self.continued || question.parameter("continue").is_some())
            && possible
    }
}

/// The message about a missing permission.
pub(super) fn forbidden(resource: Resource, verb: Verb) -> String {
    format!(
        r#"{resource} is forbidden: User "{USER}" cannot {} resource "{resource}" in API group "" at the cluster scope"#,
        verb.name()
    )
}

/// The faults for this request: all delays up to the first other fault, in the order in which they were set.
pub(super) fn take(faults: &mut Vec<Fault>, question: &Question) -> Vec<FaultKind> {
    let mut taken = Vec::new();
    for fault in faults.iter_mut().filter(|fault| fault.meets(question)) {
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        taken.push(fault.kind.clone());
        if !matches!(fault.kind, FaultKind::Slow(_) | FaultKind::Held) {
            break;
        }
    }
    faults.retain(|fault| fault.times != Some(0));
    taken
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;

    fn question(uri: &str) -> Question {
        Question::new(&Method::GET, &uri.parse().expect("a URI"))
    }

    #[test]
    fn delays_go_together_with_one_other() {
        let slow = FaultKind::Slow(Duration::from_secs(1));
        let mut faults = vec![
            Fault::new(slow.clone()).on(Resource::Pods),
            Fault::new(FaultKind::Garbage).verb(Verb::List).times(1),
            Fault::new(FaultKind::Hang),
        ];
        let list = question("/api/v1/pods");
        assert_eq!(take(&mut faults, &list), [slow.clone(), FaultKind::Garbage]);
        assert_eq!(take(&mut faults, &list), [slow, FaultKind::Hang]);
        assert_eq!(take(&mut faults, &question("/version")), [FaultKind::Hang]);
    }

    #[test]
    fn watch_errors_leave_lists_alone() {
        let mut faults = vec![Fault::new(FaultKind::WatchError(410)).times(1)];
        assert_eq!(take(&mut faults, &question("/api/v1/pods")), []);
        assert_eq!(
            take(&mut faults, &question("/api/v1/pods?watch=1")),
            [FaultKind::WatchError(410)]
        );
        assert!(faults.is_empty());
    }

    #[test]
    fn words_a_missing_permission_as_a_real_server_does() {
        let FaultKind::Status(403, message) = Fault::forbidden(Resource::Pods, Verb::List).kind else {
            panic!("it is a 403");
        };
        assert_eq!(
            message,
            "pods is forbidden: User \"system:serviceaccount:narrows:narrows\" cannot list resource \"pods\" \
             in API group \"\" at the cluster scope"
        );
    }
}
