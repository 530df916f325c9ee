//! The loop between the keys, the agent and the terminal.

use super::{
    ask,
    draw::{self, Style},
    state::{Answers, State, Step},
};
use crate::cli::http::{Client, Error};
use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use std::{future::Future, pin::Pin, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

/// Gives the terminal back as it was, however this ends. On a panic, ratatui's hook does so before the message.
pub(super) struct Screen(pub(super) DefaultTerminal);

impl Screen {
    /// Shows an empty screen.
    ///
    /// # Errors
    /// When this is no terminal, or one that cannot be drawn on.
    pub(super) fn enter() -> anyhow::Result<Self> {
        let entered = ratatui::try_init().context("cannot draw on this terminal; --once prints a table");
        entered.map(Self).inspect_err(|_| ratatui::restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The hook has done it already: leaving the screen again would put the cursor back to before the message, over which the
        // shell would then write.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

/// An answer that is still to come.
type Asking<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Answers>> + 'a>>;

/// Shows the state until `q` or a signal.
///
/// # Errors
/// When the terminal cannot be used, when the agent cannot be reached at the beginning, or when it rejects a request.
pub async fn run(client: &Client, mut state: State, style: Style, interval: Duration) -> anyhow::Result<()> {
    // Before the screen, so that an error of the first question stays visible.
    let first = ask::everything(client, &state.wanted()).await?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot handle SIGHUP")?;
    let mut screen = Screen::enter()?;
    let mut keys = EventStream::new();
    // Not longer than it takes to see the first dependents.
    let mut asking = state.answered(first).then(|| ask(client, &state));
    let mut next = Instant::now() + interval;
    // Ends by a key or a signal.
    loop {
        screen
            .0
            .draw(|frame| draw::draw(frame, &state, style))
            .context("cannot draw")?;
        tokio::select! {
            event = keys.next() => {
                let Some(event) = event else { return Ok(()) };
                // A change of size needs nothing but drawing.
                let step = match event.context("cannot read keys")? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => state.key(key),
                    _ => Step::Draw,
                };
                match step {
                    Step::Quit => return Ok(()),
                    Step::Ask => asking = Some(ask(client, &state)),
                    Step::Draw => {}
                }
            }
            answers = answer(&mut asking) => {
                asking = None;
                next = Instant::now() + interval;
                if take(&mut state, answers)? {
                    asking = Some(ask(client, &state));
                }
            }
            () = tokio::time::sleep_until(next), if asking.is_none() => asking = Some(ask(client, &state)),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
        }
    }
}

fn ask<'a>(client: &'a Client, state: &State) -> Asking<'a> {
    let wanted = state.wanted();
    Box::pin(async move { ask::everything(client, &wanted).await })
}

/// The answer, if one is to come; else this never ends.
async fn answer(asking: &mut Option<Asking<'_>>) -> anyhow::Result<Answers> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Takes an answer. An agent that is away for a while is waited for; whether to ask again at once.
fn take(state: &mut State, answers: anyhow::Result<Answers>) -> anyhow::Result<bool> {
    let error = match answers {
        Ok(answers) => return Ok(state.answered(answers)),
        Err(error) => error,
    };
    match error.downcast::<Error>()? {
        error @ (Error::Unreachable { .. } | Error::Unavailable { .. }) => {
            state.away = Some(error.why().to_owned());
            Ok(false)
        }
        error => Err(error.into()),
    }
}
