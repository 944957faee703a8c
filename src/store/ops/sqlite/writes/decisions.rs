//! Decisions as rows: the refused ones with their images, all of them as numbers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::SqliteConnection;

use super::budgets::let_go;
use crate::ops::{
    DecisionKind, DecisionOutcome, DecisionRow, OpsError,
    sqlite::{
        columns::{execute_set, signed},
        sql,
    },
};

/// An hour in microseconds.
const HOUR: i64 = 3_600_000_000;

/// The decisions of one write.
#[derive(Default)]
pub(crate) struct DecisionRows {
    refused: Vec<DecisionJson>,
    images: Vec<ImageJson>,
    counts: BTreeMap<(i64, String, DecisionOutcome), i64>,
    budgets: BTreeSet<(DecisionKind, String)>,
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
    kind: &'static str,
    caller: String,
    count: i64,
    together: Option<String>,
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
            // Of what somebody can name who has nothing to do with it there is no end, and of many that are counted together
            // only the newest is known: they are counted, and by no project.
            let by_project = match row.kind {
                _ if row.outcome == DecisionOutcome::Granted => true,
                DecisionKind::Tied | DecisionKind::Asked => row.together.is_none(),
                DecisionKind::Stranger | DecisionKind::Anonymous => false,
            };
            if !by_project {
                projects = vec![String::new()];
            }
            for project in projects {
                *out.counts.entry((at - at.rem_euclid(HOUR), project, row.outcome)).or_default() += signed(row.count);
            }
            if row.outcome == DecisionOutcome::Granted {
                continue;
            }
            // Those that are counted together have no row of their own for an image to hang on.
            let images = row.images.iter().filter(|_| row.together.is_none());
            out.images.extend(images.map(|image| ImageJson {
                decision: row.id.clone(),
                image: image.clone(),
                project: project(image),
            }));
            out.budgets.insert((row.kind, row.caller.clone()));
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
                kind: row.kind.as_str(),
                caller: row.caller.clone(),
                count: signed(row.count),
                together: row.together.clone(),
            });
        }
        out
    }

    /// Returns how many older rows went because a budget was full.
    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<u64, OpsError> {
        let count = |((hour, project, outcome), count): (_, i64)| {
            let outcome = DecisionOutcome::as_str(outcome);
            CountJson { hour, project, outcome, count }
        };
        let counts: Vec<_> = self.counts.into_iter().map(count).collect();
        execute_set(connection, sql::INSERT_DECISIONS, &self.refused).await?;
        execute_set(connection, sql::INSERT_DECISION_IMAGES, &self.images).await?;
        execute_set(connection, sql::COUNT_DECISIONS, &counts).await?;
        let mut all = 0;
        for kind in self.budgets.iter().map(|(kind, _)| *kind).collect::<BTreeSet<_>>() {
            let (of_caller, of_all) = kind.budget();
            let mut gone = 0;
            for (_, caller) in self.budgets.iter().filter(|(of, _)| *of == kind) {
                let trim = sqlx::query(sql::TRIM_DECISIONS).bind(kind.as_str()).bind(caller).bind(of_caller);
                gone += trim.execute(&mut *connection).await?.rows_affected();
            }
            // The others' callers are people who are known; of nobody in particular there can be any number.
            if kind == DecisionKind::Anonymous {
                let trim = sqlx::query(sql::TRIM_KIND).bind(kind.as_str()).bind(of_all);
                gone += trim.execute(&mut *connection).await?.rows_affected();
            }
            let_go(connection, &format!("decision_{}", kind.as_str()), gone).await?;
            all += gone;
        }
        Ok(all)
    }
}
