//! Tokens over plain http.

use super::{
    command, failure, narrows,
    server::{NO_FAILURES, Server, file, path},
};

#[test]
fn a_token_is_not_sent_in_the_clear_to_other_machines() {
    // All addresses, also by the one that stands for them: it is no loopback address, and yet leads here.
    let server = Server::plain("0.0.0.0:0", "200 OK", NO_FAILURES);
    let url = format!("http://0.0.0.0:{}", server.address.port());
    let token = file("secret");
    let with_token = ["--bearer-token-file", path(&token)];
    for command in [
        ["failures", "--agent"],
        ["report", "--agent"],
        ["report", "--prometheus"],
    ] {
        let said = failure(&[&command[..], &[&url], &with_token].concat());
        let begin = format!(
            "narrows: the bearer token in {} is not sent to {url}, as anyone",
            path(&token)
        );
        assert!(
            said.starts_with(&begin) && said.contains("--allow-token-over-http"),
            "{said}"
        );
    }
    let mut command = narrows(&["report", "--prometheus", &url]);
    let said = super::refusal(command.env("NARROWS_PROMETHEUS_TOKEN", "secret"), 1);
    assert!(
        said.starts_with(&format!(
            "narrows: the bearer token in NARROWS_PROMETHEUS_TOKEN is not sent to {url}"
        )),
        "{said}"
    );
    assert!(server.questions.try_recv().is_err(), "nothing was asked");

    let asked = [
        &["failures", "--agent", &url][..],
        &with_token,
        &["--allow-token-over-http"],
    ]
    .concat();
    let output = super::run(&asked);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(server.question().contains("authorization: Bearer secret\r\n"));
    // Without a token there is nothing to protect.
    assert!(super::run(&asked[..3]).status.success());
    assert!(!server.question().contains("authorization"));
}

#[test]
fn the_token_in_the_variable_is_for_prometheus_alone() {
    let server = Server::plain("127.0.0.1:0", "200 OK", NO_FAILURES);
    let url = format!("http://{}", server.address);
    let mut command = narrows(&["failures", "--agent", &url]);
    let output = command::output(command.env("NARROWS_PROMETHEUS_TOKEN", "secret")).expect("it starts");
    assert!(output.status.success());
    assert!(!server.question().contains("authorization"));
    let mut command = narrows(&["report", "--prometheus", &url]);
    super::refusal(command.env("NARROWS_PROMETHEUS_TOKEN", " secret\n"), 1);
    assert!(server.question().contains("authorization: Bearer secret\r\n"));
}

#[test]
fn a_token_that_cannot_be_read_is_named() {
    let server = Server::plain("127.0.0.1:0", "200 OK", NO_FAILURES);
    let url = format!("http://{}", server.address);
    let said = failure(&["failures", "--agent", &url, "--bearer-token-file", "/no/such/file"]);
    assert!(said.contains("cannot read the bearer token in /no/such/file"), "{said}");
    let empty = file("\n");
    let said = failure(&[
        "failures",
        "--follow",
        "--agent",
        &url,
        "--bearer-token-file",
        path(&empty),
    ]);
    assert!(
        said.contains(&format!("the bearer token in {} is empty", path(&empty))),
        "{said}"
    );
    assert!(server.questions.try_recv().is_err(), "nothing was asked");
}

#[test]
fn redirects_are_not_followed() {
    let server = Server::plain("127.0.0.1:0", "302 Found\r\nLocation: http://198.51.100.1/login", "");
    let url = format!("http://{}", server.address);
    let said = failure(&["report", "--prometheus", &url]);
    assert!(
        said.contains("302 Found, to http://198.51.100.1/login; redirects are not followed; check --prometheus"),
        "{said}"
    );
}
