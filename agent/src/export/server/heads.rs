//! The time in which the head of a request has to arrive, once it has begun to.
//!
//! hyper has one limit for a head and for being idle before it. A client that is idle between two requests costs nothing but a place;
//! one that sends a head byte by byte, or connects and says nothing, is broken or means harm.

use axum::body::Body;
use hyper::body::{Bytes, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request is to come, or has begun to.
    Head,
    /// The last request is being answered.
    Answer,
    /// The last request was answered, and nothing came since.
    Idle,
}

/// The phase of a connection, known to its stream and to its requests.
#[derive(Clone, Debug)]
pub struct Phases(Arc<Mutex<Phase>>);

impl Phases {
    /// Those of a connection that begins.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Head)))
    }

    /// A request is there. It is answered until what this returns is dropped.
    pub fn answer(&self) -> Answering {
        self.set(Phase::Answer);
        Answering(self.clone())
    }

    fn get(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// An answer, as long as it lives.
pub struct Answering(Phases);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(Phase::Idle);
    }
}

/// The body of an answer.
pub struct Answered {
    body: Body,
    _answering: Answering,
}

impl Answered {
    /// A body that ends the answer when it is dropped, which is when it was sent.
    pub fn new(body: Body, answering: Answering) -> Self {
        Self {
            body,
            _answering: answering,
        }
    }
}

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The reading side of a connection, which fails when a head takes too long.
pub struct Heads<R> {
    stream: R,
    phases: Phases,
    longest: Duration,
    limit: Pin<Box<Sleep>>,
}

impl<R> Heads<R> {
    /// A stream whose heads may take so long; the first one from now on.
    pub fn new(stream: R, phases: Phases, longest: Duration) -> Self {
        Self {
            stream,
            phases,
            longest,
            limit: Box::pin(sleep(longest)),
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Heads<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let phase = self.phases.get();
        if read.is_pending() && phase == Phase::Head && self.limit.as_mut().poll(cx).is_ready() {
            let why = format!(
                "the head of a request has not arrived within {} s",
                self.longest.as_secs()
            );
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        if phase == Phase::Idle && buffer.filled().len() > before {
            self.phases.set(Phase::Head);
            let end = Instant::now() + self.longest;
            self.limit.as_mut().reset(end);
        }
        read
    }
}
