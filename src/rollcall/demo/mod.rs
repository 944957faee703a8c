//! The demo: posts the sample data of a licensing system through the signed hook, as any licensing system would.
//! Appends nothing itself and reads no database; it is a client of the server that it runs in.

pub mod sample;

use std::{fs, path::PathBuf};

use anyhow::Context;
use chrono::{DateTime, SubsecRound, Utc};
use reqwest::Url;
use rollcall_app::operations::deliveries::HookAnswer;
use rollcall_entitlements::Secrets;
use rollcall_eventlog::Log;
use rollcall_events::{body::EntitlementState, visible::visible};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::sample::SampleFact;
use crate::{
    client::{Failure, Reply, unreachable, url_below},
    config::{
        data_dir::{DataDir, webhook_secret, write_private},
        merge::FlagValue,
    },
};

/// The demo's source.
pub const SOURCE: &str = "flexnet";
/// What its events call themselves.
const ORIGIN: &str = "https://licences.acme.test";
/// How many facts go into one delivery.
const BATCH: usize = 200;
/// The file that says how far the sample data is.
const STATE_FILE: &str = "demo.json";

/// What is kept of a demo: the instant of its data, so that an interrupted start goes on with the same bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct DemoState {
    made_at: DateTime<Utc>,
    filled: bool,
}

/// Whether the sample data is to be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleData {
    /// It is there.
    Posted,
    /// It is to be made as of this instant.
    Missing(DateTime<Utc>),
}

fn secret_file(dir: &DataDir) -> PathBuf {
    dir.file(&format!("{SOURCE}.secret"))
}

fn secrets(dir: &DataDir) -> anyhow::Result<Secrets> {
    let file = secret_file(dir);
    let text = fs::read_to_string(&file).with_context(|| {
        format!("{} is not the data directory of a demo: {} cannot be read", dir.path().display(), file.display())
    })?;
    Ok(Secrets::parse(&text)?)
}

/// The settings that the demo adds: its source, with a secret that is made when there is none.
///
/// # Errors
/// When the directory holds another installation, or cannot be written.
pub fn prepare(dir: &DataDir, now: DateTime<Utc>, random: [u8; 32]) -> anyhow::Result<(SampleData, Vec<FlagValue>)> {
    dir.create()?;
    let state = match fs::read_to_string(dir.file(STATE_FILE)) {
        Ok(text) => {
            serde_json::from_str(&text).with_context(|| format!("{} is damaged", dir.file(STATE_FILE).display()))?
        }
        Err(_) if Log::exists(&dir.log()) => anyhow::bail!(
            "{} holds an installation that is not a demo; choose another --data-dir",
            dir.path().display()
        ),
        Err(_) => {
            let state = DemoState { made_at: now.trunc_subsecs(0), filled: false };
            write_state(dir, state)?;
            state
        }
    };
    let file = secret_file(dir);
    if !file.exists() {
        use secrecy::ExposeSecret;
        write_private(&file, &format!("{}\n", webhook_secret(random).expose_secret()))?;
    }
    let key = |key: &str, value: &str| FlagValue {
        key: format!("source.{SOURCE}.{key}"),
        value: value.to_owned(),
        flag: "--demo",
    };
    let path = file.display().to_string();
    let settings = vec![
        key("kind", "entitlements"),
        key("format", "cloudevents"),
        key("order", "version"),
        key("secret_file", &path),
    ];
    Ok((if state.filled { SampleData::Posted } else { SampleData::Missing(state.made_at) }, settings))
}

fn write_state(dir: &DataDir, state: DemoState) -> anyhow::Result<()> {
    write_private(&dir.file(STATE_FILE), &serde_json::to_string(&state)?)
}

/// Posts all of it and waits until it is applied.
///
/// # Errors
/// When the server does not take it.
pub async fn fill(
    dir: &DataDir,
    (http, base): (&reqwest::Client, &Url),
    made_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let secrets = secrets(dir)?;
    let facts = sample::sample_facts(made_at);
    for (number, batch) in facts.chunks(BATCH).enumerate() {
        post((http, base), &secrets, &format!("demo-{number:03}"), batch, now).await?;
    }
    write_state(dir, DemoState { made_at, filled: true })?;
    Ok(())
}

/// Puts an entitlement into another state, as the licensing system would. Returns the hook's answer.
///
/// # Errors
/// When there is no such entitlement, or the server does not take it.
pub async fn change(
    dir: &DataDir,
    (http, base): (&reqwest::Client, &Url),
    entitlement: &str,
    state: EntitlementState,
    now: DateTime<Utc>,
) -> Result<Reply<HookAnswer>, Failure> {
    let fact = sample::entitlement_change(entitlement, state, now).map_err(Failure::Refused)?;
    let secrets = secrets(dir)?;
    post((http, base), &secrets, &format!("demo-{}", now.timestamp_micros()), &[fact], now).await
}

/// Posts facts in one signed delivery and waits for their effect.
async fn post(
    (http, base): (&reqwest::Client, &Url),
    secrets: &Secrets,
    id: &str,
    facts: &[SampleFact],
    now: DateTime<Utc>,
) -> Result<Reply<HookAnswer>, Failure> {
    let events: Vec<Value> = facts.iter().map(|fact| fact.cloud_event(ORIGIN)).collect();
    let body = Value::Array(events).to_string();
    let url = url_below(base, &["hooks", SOURCE], &[("wait", "10s".into())]);
    let mut request = http.post(url.clone()).header("content-type", "application/cloudevents-batch+json");
    let timestamp = now.timestamp();
    let signature = secrets.sign(id, timestamp, body.as_bytes());
    let timestamp = timestamp.to_string();
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)] {
        request = request.header(name, value);
    }
    let response = request.body(body).send().await.map_err(|error| unreachable(base.as_str(), &error))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| unreachable(base.as_str(), &error))?;
    let answer = || {
        let value: HookAnswer = serde_json::from_str(&text).ok()?;
        Some(Reply { json: serde_json::from_str(&text).ok()?, value })
    };
    let taken = answer().filter(|answer| status.is_success() && answer.value.quarantined == 0);
    taken.ok_or_else(|| Failure::Refused(format!("{url} answers {status}: {}", visible(&text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_000_000, 0).unwrap()
    }

    fn dir(name: &str) -> DataDir {
        let path = std::env::temp_dir().join(format!("rollcall-demo-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        DataDir::new(&path)
    }

    #[test]
    fn a_second_start_keeps_the_secret_and_the_instant_of_its_data() {
        let dir = dir("twice");
        let (data, settings) = prepare(&dir, at(), [1; 32]).unwrap();
        assert_eq!(data, SampleData::Missing(at()));
        assert!(settings.iter().any(|setting| setting.key == "source.flexnet.secret_file"));
        let secret = fs::read_to_string(secret_file(&dir)).unwrap();
        let later = at() + chrono::TimeDelta::hours(1);
        assert_eq!(prepare(&dir, later, [2; 32]).unwrap().0, SampleData::Missing(at()), "an interrupted start goes on");
        write_state(&dir, DemoState { made_at: at(), filled: true }).unwrap();
        assert_eq!(prepare(&dir, later, [2; 32]).unwrap().0, SampleData::Posted);
        assert_eq!(fs::read_to_string(secret_file(&dir)).unwrap(), secret);
        fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn another_installation_is_left_alone() {
        let dir = dir("other");
        dir.create().unwrap();
        fs::write(dir.file("log.db"), "").unwrap();
        let error = prepare(&dir, at(), [1; 32]).unwrap_err().to_string();
        assert!(error.contains("not a demo"), "{error}");
        assert!(!secret_file(&dir).exists());
        fs::remove_dir_all(dir.path()).unwrap();
    }

    #[test]
    fn every_batch_fits_the_default_body_limit() {
        for batch in sample::sample_facts(at()).chunks(BATCH) {
            let bytes: usize = batch.iter().map(|fact| fact.cloud_event(ORIGIN).to_string().len() + 1).sum();
            assert!(bytes < 512 << 10, "{bytes}");
        }
    }
}
