//! A real Chromium without a window, driven over a pair of pipes by the DevTools protocol: messages of JSON that end in a zero byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Child};
use crate::{pace, tools, wait};

/// How long Chromium may take to answer, and a page to be as it is awaited.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variable with a directory for pictures, for people who want to look at what the tests see.
pub const PICTURES: &str = "PAGE_PICTURES";

/// It may not fetch anything by itself, and needs neither a display nor a user namespace.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// The pipes are expected as descriptors 3 and 4.
const START: &str = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// A browser with one page; it ends when the guard is dropped.
#[derive(Debug)]
pub struct Browser {
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    problems: Vec<String>,
    requests: Vec<String>,
    // The process goes before its directory.
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser with a window of this size.
    ///
    /// # Errors
    /// There is no `chromium`, or it does not answer.
    pub fn start(width: u32, height: u32) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", START, "chromium"]).args(ARGUMENTS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = process::start_beside(&mut command)?;
        let to = child.stdin.take().context("a pipe to Chromium")?;
        let messages = BufReader::new(child.stdout.take().context("a pipe from Chromium")?);
        let (tell, from) = channel();
        // Ends with the pipe.
        thread::spawn(move || {
            let texts = messages.split(0).map_while(Result::ok);
            for message in texts.filter_map(|text| serde_json::from_slice(&text).ok()) {
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            to,
            from,
            session: None,
            last: 0,
            problems: Vec::new(),
            requests: Vec::new(),
            _child: child,
            _profile: profile,
        };
        let started = browser.attach(width, height);
        started.context("no Chromium (`chromium` on PATH): run `cargo xtask setup`")?;
        Ok(browser)
    }

    fn attach(&mut self, width: u32, height: u32) -> Result<()> {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attached = self.call(
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        )?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Performance"] {
            self.call(&format!("{domain}.enable"), &json!({}))?;
        }
        self.resize(width, height)
    }

    /// Gives the window another size.
    ///
    /// # Errors
    /// Chromium does not answer.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// What the system is said to prefer: such as (`prefers-color-scheme`, `dark`).
    ///
    /// # Errors
    /// Chromium does not answer.
    pub fn prefer(&mut self, feature: &str, value: &str) -> Result<()> {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.call("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// Goes to an address, without waiting for more than that the page before is gone.
    ///
    /// # Errors
    /// There is nothing at that address.
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.evaluate("window.isLeft = true")?;
        let gone = self.call("Page.navigate", &json!({ "url": url }))?;
        match gone["errorText"].as_str() {
            Some(error) => bail!("{url}: {error}"),
            None => self.wait_for("!window.isLeft"),
        }
    }

    /// The value of a JavaScript expression; promises are awaited.
    ///
    /// # Errors
    /// It throws.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &asked)?;
        match answer.get("exceptionDetails") {
            Some(exception) => bail!("{expression}: {exception}"),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// # Errors
    /// It is not in time; the error has the text of the page.
    pub fn wait_for(&mut self, expression: &str) -> Result<()> {
        // While a page is being replaced there is none to evaluate in.
        let is_true = |browser: &mut Self| {
            let found = browser.evaluate(&format!("Boolean({expression})"));
            matches!(found, Ok(Value::Bool(true))).then_some(())
        };
        match wait::until(expression, PATIENCE, || is_true(self)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let text = self.evaluate("document.body.innerText").unwrap_or_default();
                Err(error.context(format!("the page says {text}; problems: {:?}", self.problems)))
            }
        }
    }

    /// Presses a key: `Enter`, `Escape`, `Tab`, an arrow, or a character.
    ///
    /// # Errors
    /// Chromium does not answer.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let text = match key {
            "Enter" => Some("\r"),
            key if key.chars().count() == 1 => Some(key),
            _ => None,
        };
        let mut event = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", &event)?;
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", &event).map(drop)
    }

    /// Enters text where the focus is.
    ///
    /// # Errors
    /// Chromium does not answer.
    pub fn enter(&mut self, text: &str) -> Result<()> {
        self.call("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// Writes a picture of the window as PNG of this name into the directory that [`PICTURES`] names; nothing without one.
    ///
    /// # Errors
    /// Chromium does not answer, or the file cannot be written.
    pub fn picture(&mut self, name: &str) -> Result<()> {
        let Some(directory) = std::env::var_os(PICTURES) else {
            return Ok(());
        };
        self.capture(&Path::new(&directory).join(format!("{name}.png")))
    }

    /// Writes a picture of the window as PNG.
    ///
    /// # Errors
    /// Chromium does not answer, or the file cannot be written.
    pub fn capture(&mut self, file: &Path) -> Result<()> {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let png = STANDARD.decode(picture["data"].as_str().context("a picture")?)?;
        std::fs::write(file, png).with_context(|| format!("write {}", file.display()))
    }

    /// Bytes that JavaScript uses after a collection of garbage.
    ///
    /// # Errors
    /// Chromium does not answer.
    pub fn heap_bytes(&mut self) -> Result<u64> {
        self.call("HeapProfiler.collectGarbage", &json!({}))?;
        let usage = self.call("Runtime.getHeapUsage", &json!({}))?;
        usage["usedSize"].as_f64().map(|bytes| bytes as u64).context("a size")
    }

    /// What axe-core has against the page, by its rules of WCAG 2.1 A and AA and best practices: rule, and what it is about.
    ///
    /// # Errors
    /// axe-core is not there, or cannot be run.
    pub fn violations(&mut self) -> Result<Vec<String>> {
        let axe = tools::tool(tools::AXE)?;
        let axe = std::fs::read_to_string(&axe).with_context(|| format!("read {}", axe.display()))?;
        // The expression has no value of its own: the library is a large object.
        self.evaluate(&format!("{axe};undefined"))?;
        let found = self.evaluate(
            "axe.run().then(({violations}) => violations.flatMap(({id, nodes}) => \
             nodes.map(({html, failureSummary}) => `${id}: ${html.slice(0, 200)}: ${failureSummary}`)))",
        )?;
        Ok(serde_json::from_value(found)?)
    }

    /// Errors and warnings of the console, exceptions, and what the content-security policy blocked, since the last call.
    pub fn problems(&mut self) -> Vec<String> {
        self.hear_pending();
        std::mem::take(&mut self.problems)
    }

    /// The addresses that were asked for, since the last call.
    pub fn requests(&mut self) -> Vec<String> {
        self.hear_pending();
        std::mem::take(&mut self.requests)
    }

    fn hear_pending(&mut self) {
        while let Ok(message) = self.from.try_recv() {
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.problems.push(parameters["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled")
                if ["error", "warning", "assert"].contains(&parameters["type"].as_str().unwrap_or_default()) =>
            {
                self.problems.push(parameters["args"].to_string());
            }
            Some("Log.entryAdded")
                if ["error", "warning"].contains(&parameters["entry"]["level"].as_str().unwrap_or_default()) =>
            {
                self.problems.push(parameters["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str();
                self.requests.extend(url.map(str::to_owned));
            }
            _ => {}
        }
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut text = serde_json::to_vec(&message)?;
        text.push(0);
        self.to
            .write_all(&text)
            .with_context(|| format!("{method}: Chromium has ended"))?;
        loop {
            let mut message = self
                .from
                .recv_timeout(pace::patience(PATIENCE))
                .with_context(|| format!("no answer of Chromium to {method}"))?;
            if message["id"] != json!(self.last) {
                self.hear(&message);
                continue;
            }
            match message.get("error") {
                Some(error) => bail!("{method}: {error}"),
                None => return Ok(message["result"].take()),
            }
        }
    }
}
