//! `narrows report` where it cannot report.

use super::{
    failure, narrows, nobody,
    rehearse::METRICS,
    run,
    server::{Server, file, path},
};

#[test]
fn nobody_answers() {
    let (_taken, url) = nobody();
    for (flag, who, advice) in [
        ("--prometheus", "Prometheus", "check --prometheus"),
        ("--agent", "the agent", "start `narrows agent` there"),
    ] {
        let said = failure(&["report", flag, &url]);
        assert!(
            said.starts_with(&format!("narrows: cannot reach {who} at {url}: Connection refused")),
            "{said}"
        );
        assert!(said.contains(advice), "{said}");
        let said = super::refusal(&mut narrows(&["report", flag, "ftp://prometheus:9090"]), 2);
        assert!(
            said.contains("only http and https are supported, expected e.g. http://127.0.0.1:9797"),
            "{said}"
        );
    }
}

#[test]
fn somebody_else_answers() {
    let server = Server::plain("127.0.0.1:0", "200 OK", "<html>hello</html>");
    let url = format!("http://{}", server.address);
    let said = failure(&["report", "--prometheus", &url]);
    assert!(
        said.contains("sent an unexpected answer: 200 OK, and not in the form of Prometheus' API"),
        "{said}"
    );
    let said = failure(&["report", "--agent", &url]);
    assert!(
        said.contains("it has no series of Narrows; check its address"),
        "{said}"
    );
    let server = Server::plain("127.0.0.1:0", "404 Not Found", "no");
    let said = failure(&["report", "--agent", &format!("http://{}", server.address)]);
    assert!(
        said.contains("404 Not Found for /metrics; it is not an agent of Narrows"),
        "{said}"
    );
}

#[test]
fn prometheus_refuses() {
    let server = Server::plain("127.0.0.1:0", "401 Unauthorized", "who are you?");
    let said = failure(&["report", "--prometheus", &format!("http://{}", server.address)]);
    assert!(
        said.contains("pass a bearer token with --bearer-token-file or NARROWS_PROMETHEUS_TOKEN"),
        "{said}"
    );
    let body = r#"{"status":"error","errorType":"bad_data","error":"too many samples"}"#;
    let server = Server::plain("127.0.0.1:0", "422 Unprocessable Entity", body);
    let said = failure(&["report", "--prometheus", &format!("http://{}", server.address)]);
    assert!(said.contains("too many samples"), "{said}");
}

#[test]
fn a_prometheus_that_knows_nothing_gives_no_report() {
    let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let server = Server::plain("127.0.0.1:0", "200 OK", body);
    let token = file("secret\n");
    let said = failure(&[
        "report",
        "--prometheus",
        &format!("http://{}/prometheus/", server.address),
        "--token-file",
        path(&token),
    ]);
    assert!(
        said.contains("has nothing to report on: it has no series of Narrows"),
        "{said}"
    );
    let first = server.question();
    assert!(first.starts_with("GET /prometheus/api/v1/query?query="), "{first}");
    assert!(
        first.to_ascii_lowercase().contains("authorization: bearer secret"),
        "{first}"
    );
}

#[test]
fn what_a_restart_cuts_is_rehearsed() {
    let server = Server::plain("127.0.0.1:0", "200 OK", METRICS);
    let output = run(&["report", "--agent", &format!("http://{}", server.address)]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let row = "| waypoint shop/waypoint | 30s   | 12           | 15          | shop/checkout 9 |";
    assert!(said.contains(row), "{said}");
}

#[test]
fn a_file_that_is_no_report_is_refused_before_anything_is_asked() {
    let (_taken, url) = nobody();
    for (text, why) in [
        (
            "{}",
            "is not a report: write it with `narrows report --format json --output",
        ),
        (
            r#"{"version":9,"source":"x","evidence":{"points":{},"modes":{},"enforced":{},"unenforced":{},"attributed":{},"bypasses":[],"agents":{}}}"#,
            "has version 9 of the format, and this program writes and compares version 1",
        ),
    ] {
        let earlier = file(text);
        let said = failure(&["report", "--agent", &url, "--compare", path(&earlier)]);
        assert!(said.contains(why), "{said}");
    }
    let said = failure(&["report", "--agent", &url, "--compare", "/no/such.json"]);
    assert!(
        said.contains("cannot read /no/such.json, the report to compare with"),
        "{said}"
    );
}
