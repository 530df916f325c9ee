//! Over TLS, with certificates made here.

use super::{
    command, failure, narrows, run,
    server::{Authority, NO_FAILURES, Server, file, path},
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Stdio,
    thread,
};

/// What a Prometheus says that has no series.
const NO_SERIES: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

fn token_of(question: &str) -> Option<&str> {
    let mut lines = question.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(name, value)| name.eq_ignore_ascii_case("authorization").then_some(value))
}

#[test]
fn with_its_ca_an_agent_is_asked_and_gets_the_token() {
    let authority = Authority::new("kubernetes");
    let (ca, token) = (authority.file(), file("secret\n"));
    let server = Server::tls(&authority, "127.0.0.1", "200 OK", NO_FAILURES);
    let url = format!("https://{}/proxy/", server.address);
    let output = run(&[
        "failures",
        "--agent",
        &url,
        "--ca-file",
        path(&ca),
        "--bearer-token-file",
        path(&token),
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(&format!(
            "the agent at https://{}/proxy knows of no failed",
            server.address
        )),
        "{said}"
    );
    let question = server.question();
    assert!(question.starts_with("GET /proxy/api/v1/failures?limit="), "{question}");
    assert_eq!(token_of(&question), Some("Bearer secret"), "{question}");
}

#[test]
fn with_its_ca_a_prometheus_is_asked_and_gets_the_token() {
    let authority = Authority::new("kubernetes");
    let (ca, token) = (authority.file(), file("secret\n"));
    // By its name, and by variables.
    let server = Server::tls(&authority, "localhost", "200 OK", NO_SERIES);
    let url = format!("https://localhost:{}", server.address.port());
    let mut command = narrows(&["report", "--prometheus", &url]);
    command
        .env("NARROWS_CA_FILE", ca.path())
        .env("NARROWS_BEARER_TOKEN_FILE", token.path());
    let said = super::refusal(&mut command, 1);
    assert!(
        said.contains(&format!("Prometheus at {url} has nothing to report on")),
        "{said}"
    );
    let question = server.question();
    assert!(question.starts_with("GET /api/v1/query?query="), "{question}");
    assert_eq!(token_of(&question), Some("Bearer secret"), "{question}");
}

#[test]
fn an_agent_is_followed_over_tls() {
    let authority = Authority::new("kubernetes");
    let ca = authority.file();
    let events = "event: start\ndata: {\"run\":1,\"next\":1}\n\n";
    let server = Server::tls(&authority, "127.0.0.1", "200 OK", events);
    let url = format!("https://{}", server.address);
    let mut follow = narrows(&["failures", "--follow", "--agent", &url, "--ca-file", path(&ca)]);
    let mut child = command::spawn(follow.stdout(Stdio::piped()).stderr(Stdio::null())).expect("it starts");
    let stdout = child.stdout.take().expect("piped");
    let first = BufReader::new(stdout).lines().next();
    child.kill().expect("it runs until it is told otherwise");
    child.wait().expect("it ends");
    let first = first.expect("a line").expect("UTF-8");
    assert!(first.starts_with("TIME "), "{first}");
    assert!(
        server
            .question()
            .to_ascii_lowercase()
            .contains("accept: text/event-stream")
    );
}

#[test]
fn with_another_ca_nothing_is_asked() {
    let authority = Authority::new("kubernetes");
    let others = ["kubernetes", "another"].map(|name| Authority::new(name).file());
    let token = file("secret");
    let server = Server::tls(&authority, "127.0.0.1", "200 OK", NO_FAILURES);
    let url = format!("https://{}", server.address);
    let token = ["--bearer-token-file", path(&token)];
    for (command, who) in [
        (["failures", "--agent"], "the agent"),
        (["report", "--prometheus"], "Prometheus"),
    ] {
        for other in &others {
            let arguments = [&command[..], &[&url, "--ca-file", path(other)], &token].concat();
            let said = failure(&arguments);
            assert_eq!(
                said,
                format!(
                    "narrows: cannot reach {who} at {url}: its certificate is not signed by a CA in {}; pass the certificate of its CA \
                 with --ca-file\n",
                    path(other)
                )
            );
        }
        // The system's CAs do not know it, either.
        let said = failure(&[&command[..], &[&url], &token].concat());
        assert!(said.contains("--ca-file"), "{said}");
    }
    assert!(
        server.questions.try_recv().is_err(),
        "whoever is not trusted gets no token"
    );
}

#[test]
fn a_system_without_cas_is_named() {
    let url = "https://127.0.0.1:1";
    let mut command = narrows(&["failures", "--agent", url]);
    command
        .env("SSL_CERT_FILE", "/no/such/file")
        .env("SSL_CERT_DIR", "/no/such/directory");
    let said = super::refusal(&mut command, 1);
    let expected = format!(
        "narrows: cannot verify {url}: this system has no CA certificates; install ca-certificates, or pass a file with --ca-file\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn a_certificate_for_another_name_is_named() {
    let authority = Authority::new("kubernetes");
    let ca = authority.file();
    let server = Server::tls(&authority, "proxy.test", "200 OK", NO_FAILURES);
    let url = format!("https://{}", server.address);
    let said = failure(&["failures", "--agent", &url, "--ca-file", path(&ca)]);
    let expected = format!(
        "narrows: cannot reach the agent at {url}: its certificate is not valid for 127.0.0.1; pass a name that the certificate has \
         with --agent\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn whoever_is_not_allowed_is_told_what_to_do() {
    let authority = Authority::new("kubernetes");
    let (ca, token) = (authority.file(), file("secret"));
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let server = Server::tls(&authority, "127.0.0.1", status, "who are you?");
        let url = format!("https://{}", server.address);
        for (command, who) in [
            (["failures", "--agent"], "the agent"),
            (["report", "--prometheus"], "Prometheus"),
        ] {
            let ask = [&command[..], &[&url, "--ca-file", path(&ca)]].concat();
            let begin = format!("narrows: {who} at {url} rejected the request: {status}; ");
            let said = failure(&ask);
            assert!(
                said.starts_with(&format!("{begin}pass a bearer token with --bearer-token-file")),
                "{said}"
            );
            let said = failure(&[&ask[..], &["--bearer-token-file", path(&token)]].concat());
            let advice = format!("check that the bearer token in {} is valid", path(&token));
            assert!(said.starts_with(&format!("{begin}{advice}")), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}

#[test]
fn the_wrong_protocol_is_recognised() {
    let authority = Authority::new("kubernetes");
    let server = Server::tls(&authority, "127.0.0.1", "200 OK", NO_FAILURES);
    let said = failure(&["failures", "--agent", &format!("http://{}", server.address)]);
    assert!(said.contains("it does not answer with HTTP; use https://"), "{said}");

    // A server without TLS that answers whatever it does not understand.
    let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
        stream
    });
    let ca = authority.file();
    let said = failure(&["failures", "--agent", &url, "--ca-file", path(&ca)]);
    assert!(said.contains("it does not answer with TLS; use http://"), "{said}");
    server.join().expect("it has answered");
}
