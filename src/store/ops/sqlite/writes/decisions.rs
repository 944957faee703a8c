//! Decisions as rows: the refused ones with their images, all of them as numbers.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::ops::{
    DecisionOutcome, DecisionRow, OpsError,
    sqlite::{columns::execute_set, sql},
};

/// An hour in microseconds.
const HOUR: i64 = 3_600_000_000;

/// The decisions of one write.
#[derive(Default)]
pub(crate) struct DecisionRows {
    refused: Vec<DecisionJson>,
    images: Vec<ImageJson>,
    counts: BTreeMap<(i64, String, DecisionOutcome), i64>,
}

#[derive(Serialize)]
struct DecisionJson {
    id: String,
    at: i64,
    outcome: &'static str,
    user_id: Option<String>,
    user_name: Option<String>,
    client: String,
    family: String,
    asked: String,
    granted: String,
    message: Option<String>,
    position: u64,
}

#[derive(Serialize)]
struct ImageJson {
    decision: String,
    image: String,
    project: String,
}

#[derive(Serialize)]
struct CountJson {
    hour: i64,
    project: String,
    outcome: &'static str,
    count: i64,
}

impl DecisionRows {
    pub(crate) fn of(rows: &[DecisionRow]) -> Self {
        let mut out = Self::default();
        for row in rows {
            let at = row.at.timestamp_micros();
            let project = |image: &str| image.split('/').next().unwrap_or_default().to_owned();
            let mut projects: Vec<_> = row.images.iter().map(|image| project(image)).collect();
            projects.sort();
            projects.dedup();
            for project in projects {
                *out.counts.entry((at - at.rem_euclid(HOUR), project, row.outcome)).or_default() += 1;
            }
            if row.outcome == DecisionOutcome::Granted {
                continue;
            }
            out.images.extend(row.images.iter().map(|image| ImageJson {
                decision: row.id.clone(),
                image: image.clone(),
                project: project(image),
            }));
            out.refused.push(DecisionJson {
                id: row.id.clone(),
                at,
                outcome: row.outcome.as_str(),
                user_id: row.user_id.clone(),
                user_name: row.user_name.clone(),
                client: row.client.clone(),
                family: row.family.clone(),
                asked: row.asked.clone(),
                granted: row.granted.clone(),
                message: row.message.clone(),
                position: row.position.0,
            });
        }
        out
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.refused.extend(more.refused);
        self.images.extend(more.images);
        for (key, count) in more.counts {
            *self.counts.entry(key).or_default() += count;
        }
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), OpsError> {
        let count = |((hour, project, outcome), count): (_, i64)| {
            let outcome = DecisionOutcome::as_str(outcome);
            CountJson { hour, project, outcome, count }
        };
        let counts: Vec<_> = self.counts.into_iter().map(count).collect();
        execute_set(connection, sql::INSERT_DECISIONS, &self.refused).await?;
        execute_set(connection, sql::INSERT_DECISION_IMAGES, &self.images).await?;
        execute_set(connection, sql::COUNT_DECISIONS, &counts).await
    }
}
