//! The facts of the small licensing world, as its source posts them.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

pub(super) fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap() + Duration::hours(hours)
}

/// An event of `flexnet`.
pub(super) fn event(id: &str, name: &str, sequence: u64, data: Value) -> Value {
    json!({"id": id, "type": format!("rollcall.{name}.v1"), "sequence": sequence, "data": data})
}

pub(super) fn licensing_facts() -> Vec<Value> {
    let person = |id: &str, account: &str| {
        let personal = json!({"email": format!("{id}@example.test"), "name": format!("The {id}")});
        json!({"person": id, "username": id, "account": account, "active": true, "personal": personal})
    };
    let permission = json!({"person": "pat", "permission": "view_and_manage_download_packages"});
    vec![
        event("1", "account.upserted", 1, json!({"account": "vendor", "kind": "producer"})),
        event("2", "account.upserted", 1, json!({"account": "globex", "kind": "customer"})),
        event("3", "person.upserted", 1, person("pat", "vendor")),
        event("4", "person.upserted", 1, person("ada", "globex")),
        event("5", "permission.granted", 1, permission),
        event("6", "product.upserted", 1, json!({"product": "DB"})),
        event(
            "7",
            "package.upserted",
            1,
            json!({"package": "db-suite", "project_name": "acme", "producer": "vendor", "container_delivery": true}),
        ),
        event("8", "package.product.mapped", 1, json!({"package": "db-suite", "product": "DB"})),
        event("9", "entitlement.upserted", 1, json!({"entitlement": "ENT-7", "account": "globex", "state": "active"})),
        event(
            "10",
            "entitlement.line.upserted",
            1,
            json!({"line": "ENT-7/1", "entitlement": "ENT-7", "product": "DB", "starts": null, "ends": at(48)}),
        ),
    ]
}

/// ENT-7 is over.
pub(super) fn ended(sequence: u64) -> Value {
    let data = json!({"entitlement": "ENT-7", "account": "globex", "state": "inactive"});
    event(&format!("end-{sequence}"), "entitlement.upserted", sequence, data)
}
