//! What people keep in Rollcall itself, on the command line: folders, projects, services, groups, and the roles of all
//! of them. Says what the API says; decides nothing.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::{Bindings, Folders, Groups, Projects, Services},
        commands::{Form, api, body, text},
        output::{cell, clean, members},
        previews,
    },
    client::{Client, Exit, Failure},
};

/// Columns of a list: heading and member.
type Columns = [(&'static str, &'static str)];

fn listed(form: Form, columns: &Columns, rows: &[Value]) {
    form.show(&Value::Array(rows.to_vec()), |paint| members(paint, columns, rows));
}

/// One thing, member by member.
fn shown(form: Form, thing: &Value) {
    form.show(thing, |paint| {
        let names = thing.as_object().into_iter().flatten().map(|(name, _)| name);
        let line = |name: &String| format!("{}  {}\n", paint.dim(&format!("{name:<12}")), cell(thing, name));
        names.map(line).collect()
    });
}

fn done(form: Form, answer: &Value, text: &str) {
    form.show(answer, |paint| {
        let remark = paint.dim(&format!("event {}, {}", cell(answer, "position"), cell(answer, "effect")));
        format!("{}   {remark}\n", clean(text))
    });
}

/// `folders`.
///
/// # Errors
/// As [`Failure`].
pub async fn folders(client: &Client, form: Form, command: &Folders) -> Result<Exit, Failure> {
    match command {
        Folders::List => {
            let rows = client.list(&api(&["folders"]), &[], usize::MAX).await?;
            let columns = [("FOLDER", "id"), ("KIND", "kind"), ("IN", "parent"), ("NAME", "name")];
            listed(form, &columns, &rows);
        }
        Folders::Show { id } => shown(form, &client.get(&api(&["folders", id]), &[]).await?),
        Folders::Set { id, kind, parent, name } => {
            let body = body([("kind", Some(json!(kind))), ("parent", text(parent)), ("name", text(name))]);
            let answer = client.put(&api(&["folders", id]), &body).await?;
            done(form, &answer, &format!("folder {id} is a {kind}"));
        }
        Folders::Remove { id } => {
            done(form, &client.delete(&api(&["folders", id])).await?, &format!("folder {id} is removed"));
        }
    }
    Ok(Exit::Yes)
}

/// `projects`.
///
/// # Errors
/// As [`Failure`].
pub async fn projects(client: &Client, form: Form, command: &Projects) -> Result<Exit, Failure> {
    match command {
        Projects::List => {
            let rows = client.list(&api(&["projects"]), &[], usize::MAX).await?;
            let columns = [
                ("PROJECT", "name"),
                ("KIND", "kind"),
                ("VISIBILITY", "visibility"),
                ("IN", "folder"),
                ("SOURCE", "source"),
                ("ARCHIVED", "archived"),
                ("OWNERLESS", "ownerless"),
                ("CLAIMED BY", "claimed_by"),
            ];
            listed(form, &columns, &rows);
        }
        Projects::Show { name } => shown(form, &client.get(&api(&["projects", name]), &[]).await?),
        Projects::Create { name, kind, visibility, folder } => {
            let body = body([
                ("name", Some(json!(name))),
                ("kind", text(kind)),
                ("visibility", visibility.map(|visibility| json!(visibility.word()))),
                ("folder", text(folder)),
            ]);
            let answer = client.post(&api(&["projects"]), &body).await?;
            done(form, &answer, &format!("project {name} is made"));
        }
        Projects::Set { name, rename, visibility, folder, no_folder } => {
            let folder = if *no_folder { Some(Value::Null) } else { text(folder) };
            let body = body([
                ("name", text(rename)),
                ("visibility", visibility.map(|visibility| json!(visibility.word()))),
                ("folder", folder),
            ]);
            let answer = client.patch(&api(&["projects", name]), &body).await?;
            done(form, &answer, &format!("project {name} is changed"));
        }
        Projects::Remove { name } => {
            let answer = client.delete(&api(&["projects", name])).await?;
            done(form, &answer, &format!("project {name} is deleted; its name stays its own"));
        }
    }
    Ok(Exit::Yes)
}

/// `services`.
///
/// # Errors
/// As [`Failure`].
pub async fn services(client: &Client, form: Form, command: &Services) -> Result<Exit, Failure> {
    match command {
        Services::List => {
            let rows = client.list(&api(&["services"]), &[], usize::MAX).await?;
            listed(form, &[("SERVICE", "id"), ("NAME", "name"), ("EVENT", "position")], &rows);
        }
        Services::Show { id } => {
            let service = client.get(&api(&["services", id]), &[]).await?;
            shown(form, &service);
            if matches!(form, Form::Text(_)) {
                let rows = client.whole(&api(&["services", id, "secrets"])).await?;
                let columns = [("SECRET", "id"), ("LABEL", "label"), ("ISSUED", "issued_at"), ("EXPIRES", "expires")];
                listed(form, &columns, &rows);
            }
        }
        Services::Create { id, name } => {
            let body = body([("id", Some(json!(id))), ("name", text(name))]);
            let answer = client.post(&api(&["services"]), &body).await?;
            done(form, &answer, &format!("service {id} is made; it may do nothing until `bindings set` says so"));
        }
        Services::Remove { id } => {
            let answer = client.delete(&api(&["services", id])).await?;
            done(form, &answer, &format!("service {id} is removed; it signs in no more"));
        }
        Services::Secret { id, label, expires } => {
            let body = body([("label", text(label)), ("expires", text(expires))]);
            let issued = client.post(&api(&["services", id, "secrets"]), &body).await?;
            form.show(&issued, |_| format!("{}\n", cell(&issued, "secret")));
        }
        Services::Revoke { id, secret } => {
            let answer = client.delete(&api(&["services", id, "secrets", secret])).await?;
            done(form, &answer, &format!("{secret} is over; it signs nobody in from now on"));
        }
    }
    Ok(Exit::Yes)
}

/// `groups`.
///
/// # Errors
/// As [`Failure`].
pub async fn groups(client: &Client, form: Form, command: &Groups) -> Result<Exit, Failure> {
    match command {
        Groups::List { source } => {
            let query: Vec<(&str, String)> = source.iter().map(|source| ("source", source.clone())).collect();
            let rows = client.list(&api(&["groups"]), &query, usize::MAX).await?;
            listed(form, &[("GROUP", "id"), ("NAME", "name"), ("EVENT", "position")], &rows);
        }
        Groups::Show { group, all } => {
            let (source, id) = whole_id(group);
            let query = if *all { vec![("transitive", "true".to_owned())] } else { Vec::new() };
            let rows = client.list(&api(&["groups", source, id, "members"]), &query, usize::MAX).await?;
            listed(form, &[("KIND", "kind"), ("ID", "id"), ("USER", "user")], &rows);
        }
        Groups::Create { id, name } => {
            let body = body([("id", Some(json!(id))), ("name", text(name))]);
            let answer = client.post(&api(&["groups"]), &body).await?;
            done(form, &answer, &format!("group local/{id} is made"));
        }
        Groups::Remove { group } => {
            let (source, id) = whole_id(group);
            let answer = client.delete(&api(&["groups", source, id])).await?;
            done(form, &answer, &format!("group {source}/{id} is removed"));
        }
        Groups::Add { group, member } => {
            let ((source, id), (kind, who)) = (whole_id(group), principal(member));
            let answer = client.put(&api(&["groups", source, id, "members", kind, who]), &json!({})).await?;
            done(form, &answer, &format!("{kind} {who} is in group {source}/{id}"));
        }
        Groups::Take { group, member } => {
            let ((source, id), (kind, who)) = (whole_id(group), principal(member));
            let answer = client.delete(&api(&["groups", source, id, "members", kind, who])).await?;
            done(form, &answer, &format!("{kind} {who} is out of group {source}/{id}"));
        }
    }
    Ok(Exit::Yes)
}

/// A group that names no source is one that is kept here.
fn whole_id(group: &str) -> (&str, &str) {
    group.split_once('/').unwrap_or(("local", group))
}

/// `user:ada`, `service:ci`, `group:local/ops`; a bare name is a user's.
fn principal(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((kind @ ("user" | "service" | "group"), id)) => (kind, id),
        _ => ("user", text),
    }
}

/// `root`, `folder:emea`, `project:acme`.
fn scope(text: &str) -> Result<Value, Failure> {
    match text.split_once(':') {
        None if text == "root" => Ok(json!("root")),
        Some((kind @ ("folder" | "project"), id)) => Ok(json!({kind: id})),
        _ => Err(Failure::Usage(format!("`{}` is no scope; take root, folder:ID or project:NAME", clean(text)))),
    }
}

/// `bindings`.
///
/// # Errors
/// As [`Failure`].
pub async fn bindings(client: &Client, form: Form, command: &Bindings) -> Result<Exit, Failure> {
    match command {
        Bindings::List { user, service, group, project, folder, scope } => {
            let kind = scope.map(|scope| scope.word().to_owned());
            let filters = [
                ("user", user),
                ("service", service),
                ("group", group),
                ("project", project),
                ("folder", folder),
                ("scope", &kind),
            ];
            let query: Vec<(&str, String)> =
                filters.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
            let rows = client.list(&api(&["bindings"]), &query, usize::MAX).await?;
            let columns = [
                ("USER", "user"),
                ("SERVICE", "service"),
                ("GROUP", "group"),
                ("ROLE", "role"),
                ("PROJECT", "project"),
                ("FOLDER", "folder"),
                ("FROM", "starts"),
                ("UNTIL", "ends"),
                ("BINDING", "id"),
            ];
            listed(form, &columns, &rows);
        }
        Bindings::Show { id } => shown(form, &client.get(&api(&["bindings", id]), &[]).await?),
        Bindings::Set { who, role, scope: on, starts, ends } => {
            let (kind, id) = principal(who);
            let body = body([
                ("principal", Some(json!({kind: id}))),
                ("role", Some(json!(role))),
                ("scope", Some(scope(on)?)),
                ("starts", text(starts)),
                ("ends", text(ends)),
            ]);
            let answer = client.post(&api(&["bindings"]), &body).await?;
            done(form, &answer, &format!("{kind} {id} has role {role} on {on}: {}", cell(&answer, "id")));
        }
        Bindings::Plan { file } => return previews::plan(client, form, file).await,
        Bindings::Apply { file, yes } => return previews::apply(client, form, file, *yes).await,
        Bindings::Remove { id } => {
            done(form, &client.delete(&api(&["bindings", id])).await?, "the role is taken away");
        }
    }
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line_are_the_words_of_the_api() {
        assert_eq!(principal("service:ci"), ("service", "ci"));
        assert_eq!(principal("group:local/ops"), ("group", "local/ops"));
        assert_eq!(principal("ada@globex.test"), ("user", "ada@globex.test"));
        assert_eq!(principal("urn:x"), ("user", "urn:x"), "a name may hold a colon");
        assert_eq!(whole_id("ops"), ("local", "ops"));
        assert_eq!(scope("project:acme").ok(), Some(json!({"project": "acme"})));
        assert_eq!(scope("acme").unwrap_err().code(), 2);
        assert_eq!(body([("a", None), ("b", Some(json!(1)))]), json!({"b": 1}));
    }
}
