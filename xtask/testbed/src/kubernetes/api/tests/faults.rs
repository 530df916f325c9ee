//! Tests of injected faults.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::{ApiServer, Fault, FaultKind, Resource, Verb};
use super::client::{ask, document};
use super::{names, pod};
use crate::wait;

const LIST: &str = "/api/v1/pods";

fn start() -> Result<ApiServer> {
    let server = ApiServer::start()?;
    server.put(Resource::Pods, pod("a", "n1"));
    Ok(server)
}

#[test]
fn fails_as_told_and_no_longer() -> Result<()> {
    let server = start()?;
    server.fault(Fault::forbidden(Resource::Pods, Verb::List).times(1));
    server.fault(Fault::new(FaultKind::RetryAfter(429, 3)).times(1));
    let forbidden = ask(&server, LIST)?;
    assert_eq!(forbidden.status, 403);
    let forbidden = forbidden.json()?;
    assert_eq!(
        (&forbidden["reason"], &forbidden["details"]["kind"]),
        (&"Forbidden".into(), &"pods".into())
    );
    let busy = ask(&server, LIST)?;
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("3")));
    assert_eq!(busy.json()?["details"]["retryAfterSeconds"], 3);
    assert_eq!(names(&document(&server, LIST)?), ["a"]);

    server.fault(Fault::new(FaultKind::Status(503, "apiserver not ready".to_owned())).on(Resource::Pods));
    assert_eq!(ask(&server, LIST)?.status, 503);
    assert_eq!(ask(&server, "/api/v1/nodes")?.status, 200);
    server.clear_faults();
    assert_eq!(ask(&server, LIST)?.status, 200);
    Ok(())
}

#[test]
fn answers_garbage_or_late() -> Result<()> {
    let server = start()?;
    let delay = Duration::from_millis(200);
    server.fault(Fault::new(FaultKind::Slow(delay)).times(1));
    server.fault(Fault::new(FaultKind::Garbage).times(1));
    let begin = Instant::now();
    let garbage = ask(&server, LIST)?;
    assert!(begin.elapsed() >= delay);
    assert_eq!(garbage.status, 200);
    assert!(garbage.json().is_err());
    Ok(())
}

#[test]
fn cuts_lists_and_watches_within_an_object() -> Result<()> {
    let server = start()?;
    server.fault(Fault::new(FaultKind::CutBody));
    let list = ask(&server, LIST)?;
    assert_eq!(list.status, 200);
    let list = list.until_torn().expect("no proper end");
    assert!(list.contains(r#""items":[{"#) && !list.contains('\n'), "{list}");
    let watch = ask(&server, "/api/v1/pods?watch=1")?;
    assert_eq!(watch.status, 200);
    let event = watch.until_torn().expect("no proper end");
    assert!(
        event.starts_with(r#"{"type":"ADDED""#) && !event.contains('\n'),
        "{event}"
    );
    Ok(())
}

#[test]
fn hangs_or_closes() -> Result<()> {
    let server = start()?;
    server.fault(Fault::new(FaultKind::Close).times(1));
    assert!(ask(&server, LIST).is_err());
    server.fault(Fault::new(FaultKind::Hang).times(1));
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| ask(&server, LIST));
        let seen = wait::until("the request to hang", Duration::from_secs(5), || {
            server.asked().get(1).cloned()
        })?;
        assert_eq!(seen.status, None);
        assert_eq!(ask(&server, LIST)?.status, 200);
        assert!(!hanging.is_finished());
        server.stop();
        assert!(hanging.join().is_ok_and(|answer| answer.is_err()));
        Ok(())
    })
}

#[test]
fn comes_back_on_the_same_port_with_the_same_state() -> Result<()> {
    let server = start()?;
    let watch = ask(&server, "/api/v1/pods?watch=1&resourceVersion=2")?;
    server.stop();
    assert_eq!(watch.until_torn().as_deref(), Some(""));
    assert!(ask(&server, LIST).is_err());
    let address = server.address();
    server.put(Resource::Pods, pod("b", "n1"));
    server.resume()?;
    assert_eq!(server.address(), address);
    let mut watch = ask(&server, "/api/v1/pods?watch=1&resourceVersion=2")?;
    assert_eq!(watch.change()?, ("ADDED".to_owned(), "b".to_owned(), 3));
    assert_eq!(names(&document(&server, LIST)?), ["a", "b"]);
    server.resume()
}
