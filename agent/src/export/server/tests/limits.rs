//! What clients meet who are slow, too many or too big.

use super::{
    super::{CONNECTIONS, HANDSHAKE, HEAD, HEADERS, IDLE, STALLED},
    *,
};

#[track_caller]
fn is_about(found: Duration, expected: Duration) {
    assert!(found.abs_diff(expected) <= Duration::from_secs(1), "{found:?}");
}

async fn ends(stream: &mut TcpStream) -> io::Result<usize> {
    stream.read_to_end(&mut Vec::new()).await
}

#[tokio::test]
async fn what_is_too_big_is_refused() {
    let server = start(routes(Api::Open), None).await;
    let fits = format!(
        "GET /healthz?{} HTTP/1.1\r\nConnection: close\r\n\r\n",
        "x".repeat(8 << 10)
    );
    let answer = exchange(server.address, fits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let line = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40 << 10));
    let one = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40 << 10));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS + 1));
    for request in [line, one, many] {
        let answer = exchange(server.address, request.as_bytes()).await;
        let is_refused = answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 ");
        assert!(is_refused, "{answer}");
    }
    let answer = exchange(server.address, b"POST /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

// Time is the runtime's: it goes on when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn who_never_ends_a_request_is_cut() {
    let server = start(routes(Api::Open), None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").await.expect("sent");
    let begin = tokio::time::Instant::now();
    // A byte now and then does not help.
    for _ in 0..3 {
        sleep(HEAD / 4).await;
        stream.write_all(b"s").await.expect("sent");
    }
    let _closed = ends(&mut stream).await;
    is_about(begin.elapsed(), HEAD);
}

/// Asks, and reads the answer, after which the connection stays open.
async fn ask_on(stream: &mut TcpStream, method: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let end = if method == "HEAD" { "\r\n\r\n" } else { "ok\n" };
    while !answer.ends_with(end.as_bytes()) {
        let read = stream.read_buf(&mut answer).await.expect("an answer");
        assert!(read > 0, "{:?}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test(start_paused = true)]
async fn who_is_idle_between_requests_is_cut() {
    let server = start(routes(Api::Open), None).await;
    for method in ["GET", "HEAD"] {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        ask_on(&mut stream, method, "/healthz").await;
        let begin = tokio::time::Instant::now();
        assert_eq!(ends(&mut stream).await.expect("an end"), 0);
        is_about(begin.elapsed(), IDLE);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_every_minute_keeps_the_connection() {
    let server = start(routes(Api::Open), None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    for _ in 0..4 {
        for method in ["GET", "HEAD"] {
            let answer = ask_on(&mut stream, method, "/healthz").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            sleep(Duration::from_secs(60)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_at_first_or_never_ends_a_later_request_is_cut() {
    let server = start(routes(Api::Open), None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let begin = tokio::time::Instant::now();
    let _closed = ends(&mut stream).await;
    is_about(begin.elapsed(), HEAD);

    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    ask_on(&mut stream, "GET", "/healthz").await;
    sleep(Duration::from_secs(60)).await;
    stream.write_all(b"GET /he").await.expect("sent");
    let begin = tokio::time::Instant::now();
    let _closed = ends(&mut stream).await;
    is_about(begin.elapsed(), HEAD);
}

#[tokio::test(start_paused = true)]
async fn whose_answer_takes_long_is_not_cut() {
    let slow = Router::new().route(
        "/",
        get(async || {
            sleep(IDLE * 2).await;
            "ok\n"
        }),
    );
    let server = start(slow, None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    for _ in 0..2 {
        let answer = ask_on(&mut stream, "GET", "/").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_is_cut() {
    // More than the buffers of both sockets take.
    const SIZE: usize = 64 << 20;
    let large = Router::new().route("/", get(async || vec![b'x'; SIZE]));
    let server = start(large, None).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    sleep(STALLED * 3).await;
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < SIZE, "{} bytes", answer.len());
}

#[tokio::test(start_paused = true)]
async fn who_occupies_every_place_does_so_for_a_moment() {
    let server = start(routes(Api::Open), None).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET /").await.expect("sent");
        idle.push(stream);
    }
    let answer = exchange(server.address, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn who_begins_no_handshake_is_cut() {
    let files = TestFiles::new();
    let server = start(routes(Api::Authenticated), Some(files.gate(true, true, None))).await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let begin = tokio::time::Instant::now();
    let _closed = ends(&mut stream).await;
    is_about(begin.elapsed(), HANDSHAKE);
}
