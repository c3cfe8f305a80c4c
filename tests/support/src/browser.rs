//! Headless Chromium, driven over `WebDriver`.

use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use url::Url;

use crate::patience::until;

/// A command of Chromium's own, for what `WebDriver` has none.
#[derive(Debug)]
struct Chromium(&'static str, Value);

impl WebDriverCompatibleCommand for Chromium {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.0, "params": self.1 }).to_string()))
    }
}

/// A browser with a fresh profile. Ended when dropped.
pub struct Browser {
    pub page: Client,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, in a window of this size; none where there is no driver, which is an error in CI.
    ///
    /// # Panics
    /// Where the driver does not start, or CI has none.
    pub async fn start(width: u32, height: u32) -> Option<Self> {
        Self::start_in(width, height, false).await
    }

    /// One that says of its reader that they prefer dark pages.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_dark(width: u32, height: u32) -> Option<Self> {
        Self::start_in(width, height, true).await
    }

    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    async fn start_in(width: u32, height: u32, is_dark: bool) -> Option<Self> {
        let path = std::env::var("ISSEI_TEST_CHROMEDRIVER").unwrap_or_else(|_| "/usr/bin/chromedriver".to_owned());
        if !std::path::Path::new(&path).exists() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{path} is not there");
            eprintln!("SKIPPED: {path} is not there; install chromium-driver, or set ISSEI_TEST_CHROMEDRIVER");
            return None;
        }
        let port = free_port();
        let profile = tempfile::tempdir().unwrap();
        let driver = Command::new(&path)
            .args([format!("--port={port}"), "--allowed-ips=127.0.0.1".to_owned()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("the browser's driver listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            &format!("--user-data-dir={}", profile.path().display()),
            &format!("--window-size={width},{height}"),
            // Chromium's own name of `prefers-color-scheme`: 0 is dark.
            if is_dark { "--blink-settings=preferredColorScheme=0" } else { "--blink-settings=preferredColorScheme=1" },
        ]
        .map(str::to_owned);
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("browserName".to_owned(), json!("chrome"));
        // A headless window can't be narrower than 500 pixels; a phone's width has to be emulated.
        let mut options = json!({ "args": arguments });
        if width < 500 {
            options["mobileEmulation"] = json!({ "deviceMetrics": { "width": width, "height": height, "pixelRatio": 2.0 } });
        }
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        let page = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Some(Self { page, driver, _profile: profile })
    }

    /// The text of the first element of this selector.
    pub async fn text(&self, selector: &str) -> String {
        self.page.find(fantoccini::Locator::Css(selector)).await.unwrap().text().await.unwrap()
    }

    /// What a script of one expression gives.
    pub async fn value(&self, expression: &str) -> Value {
        self.page.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true.
    pub async fn wait_until(&self, expression: &str) {
        until(expression, async || self.value(expression).await == json!(true)).await;
    }

    /// A picture of the page, all of it, where `ISSEI_TEST_SCREENSHOTS` names a directory for them.
    pub async fn picture(&self, name: &str) {
        let Ok(directory) = std::env::var("ISSEI_TEST_SCREENSHOTS") else { return };
        let size = "[document.documentElement.clientWidth, document.documentElement.scrollHeight]";
        let (width, height): (u32, u32) = serde_json::from_value(self.value(size).await).unwrap();
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let whole = Chromium("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip }));
        let answer = self.page.issue_cmd(whole).await.unwrap();
        let picture = BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap();
        std::fs::write(format!("{directory}/{name}.png"), picture).unwrap();
    }

    /// What the window shows, in the light and in the dark.
    pub async fn pictures_in_both(&self, name: &str) {
        let Ok(directory) = std::env::var("ISSEI_TEST_SCREENSHOTS") else { return };
        for scheme in ["dark", "light"] {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            self.page.issue_cmd(Chromium("Emulation.setEmulatedMedia", media)).await.unwrap();
            std::fs::write(format!("{directory}/{name}-{scheme}.png"), self.page.screenshot().await.unwrap()).unwrap();
        }
    }

    /// Nothing is cut off or has to be scrolled to sideways.
    pub async fn assert_fits(&self) {
        let over = self.value("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(over, json!(0), "the page is wider than the window");
    }

    /// axe-core, which looks for what keeps people out (WCAG 2: contrast, names, roles, order), finds nothing.
    ///
    /// # Panics
    /// Where it finds something.
    #[expect(clippy::print_stderr, reason = "a check that is skipped says so")]
    pub async fn assert_accessible(&self, what: &str) {
        let Some(installed) = std::env::var_os("ISSEI_TEST_PROVIDER_CLIENTS") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "axe-core is not there");
            eprintln!("SKIPPED: ISSEI_TEST_PROVIDER_CLIENTS has no axe-core; tests/run installs it");
            return;
        };
        let axe = std::fs::read_to_string(std::path::Path::new(&installed).join("node_modules/axe-core/axe.min.js")).unwrap();
        self.page.execute(&axe, Vec::new()).await.unwrap();
        let run = "const done = arguments[arguments.length - 1];
            const told = (violation) => `${violation.id}: ${violation.nodes.map((node) => node.target.join(' ') + ' ' + node.failureSummary).join('; ')}`;
            axe.run(document, { iframes: false }).then((found) => done(found.violations.map(told)), (error) => done([String(error)]));";
        assert_eq!(self.page.execute_async(run, Vec::new()).await.unwrap(), json!([]), "{what}");
    }

    pub async fn end(mut self) {
        self.page.close().await.unwrap();
        let _ = self.driver.kill().await;
    }
}

#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
