//! The rows of the decision tables a second and a third time: as worlds of events, folded and asked, and asked of a
//! running server. Every question of a table under one set of switches stands in one world, each with people, folders
//! and projects of its own. Knows tables and events; knows no rule.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_access::{ActionSet, Effect, Place, Principal, Profile, Roster, Verb, decide, members};
use rollcall_events::{
    Body, NewEvent, SourceName,
    body::{ProfileDocument, Visibility},
};
use serde_json::{Value, json};

use crate::{
    rules::models::{Asked, Probe, Question, Stage, Table},
    rules::scenarios::{LOG, recorded},
    support::{
        facts::Clerk,
        server::{Server, access},
    },
};

type Switches = BTreeMap<String, String>;

/// One question of a row, and where it stands in its world.
struct Case {
    id: String,
    question: Question,
    user: String,
    place: Where,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Root,
    Folder(String),
    Project(String),
}

/// Every question of a table under one set of switches.
struct World<'a> {
    table: &'a Table,
    switches: Switches,
    /// There is one global project, so whoever sees it otherwise has a world of their own.
    global: Option<Visibility>,
    cases: Vec<Case>,
    lines: Vec<String>,
    made: BTreeSet<String>,
}

impl<'a> World<'a> {
    /// The worlds of a table, one for each set of switches that its rows name.
    fn all(table: &'a Table) -> Vec<Self> {
        let mut worlds: Vec<Self> = Vec::new();
        for (id, question) in table.questions() {
            let switches = question.switches.clone();
            let global = question.stage.visibility.filter(|_| question.stage.kind.as_deref() == Some("global"));
            let fits = |world: &Self| {
                world.switches == switches && (global.is_none() || world.global.is_none() || world.global == global)
            };
            let ix = worlds.iter().position(fits).unwrap_or_else(|| {
                let (cases, lines, made) = (Vec::new(), Vec::new(), BTreeSet::new());
                worlds.push(Self { table, switches, global, cases, lines, made });
                worlds.len() - 1
            });
            let world = &mut worlds[ix];
            world.global = world.global.or(global);
            world.ask(id, question);
        }
        worlds
    }

    fn say(&mut self, line: String) {
        if self.made.insert(line.clone()) {
            self.lines.push(line);
        }
    }

    /// Adds a question with what it takes. The same subject on the same scope is the same user in the same place.
    fn ask(&mut self, id: String, question: Question) {
        let plain = |question: &Question| !matches!(question.asked, Asked::Rule(_));
        let shared = |case: &&Case| plain(&case.question) && plain(&question) && case.question.stage == question.stage;
        let same = self.cases.iter().find(shared);
        if let Some((user, place)) = same.map(|case| (case.user.clone(), case.place.clone())) {
            self.cases.push(Case { id, question, user, place });
            return;
        }
        let case = format!("c{}", self.cases.len());
        let stage = question.stage.clone();
        let user = format!("u{case}");
        self.say(format!("corp person.upserted {user}"));
        let mut places = BTreeMap::new();
        for path in stage.grants.iter().map(|(_, at)| at).chain([&stage.path]) {
            if !places.contains_key(path) {
                let place = self.place(&case, path, (path == &stage.path).then_some(&stage), &user);
                places.insert(path.clone(), place);
            }
        }
        let creates = matches!(question.asked, Asked::Rule(Probe::CreatorGets { .. }));
        if creates {
            self.say(format!("local project.created made-{case} creator=corp/{user}"));
        }
        if matches!(question.asked, Asked::Rule(Probe::GroupInherits)) {
            let role = self.table.profile.document().roles.iter().find(|(_, role)| {
                role.at.contains(self.table.profile.document().levels.last().unwrap()) && !role.actions.is_empty()
            });
            self.say(format!("corp group.upserted g{case}"));
            self.say(format!("corp group.member.added g{case} person:{user}"));
            let scope = self.scope(&places[&stage.path]);
            self.say(format!("local binding.set group:corp/g{case} '{}' {scope}", role.unwrap().0));
        }
        for (role, at) in &stage.grants {
            let scope = self.scope(&places[at]);
            self.say(format!("local binding.set user:corp/{user} '{role}' {scope}"));
        }
        let place = places.remove(&stage.path).unwrap();
        self.cases.push(Case { id, question, user, place });
    }

    /// The place of a path, with the folders above it. Its first segment is the root.
    fn place(&mut self, case: &str, path: &str, stage: Option<&Stage>, user: &str) -> Where {
        let levels = self.table.profile.document().levels.clone();
        let segments: Vec<&str> = path.split('/').collect();
        match (stage.and_then(|stage| stage.kind.as_deref()), stage.and_then(|stage| stage.owner.as_deref())) {
            (Some("personal"), Some("self")) => return Where::Project(user.to_owned()),
            (Some("personal"), _) => {
                self.say(format!("corp person.upserted other-{user}"));
                return Where::Project(format!("other-{user}"));
            }
            _ => {}
        }
        let mut parent: Option<String> = None;
        for (depth, segment) in segments.iter().enumerate().skip(1) {
            let within = |key: &str| parent.as_ref().map_or(String::new(), |parent| format!(" {key}={parent}"));
            if depth + 1 < levels.len() {
                let folder = format!("{case}-{segment}");
                self.say(format!("local folder.upserted {folder} kind={}{}", levels[depth], within("parent")));
                parent = Some(folder);
                continue;
            }
            let visibility = stage.and_then(|stage| stage.visibility).unwrap_or(Visibility::Private);
            let visibility = format!("{visibility:?}").to_lowercase();
            let global = stage.is_some_and(|stage| stage.kind.as_deref() == Some("global"));
            // There is one global project: all questions about it share it.
            let (name, kind) =
                if global { ("global".to_owned(), "global") } else { (format!("{case}-{segment}"), "standard") };
            let within = if global { String::new() } else { within("folder") };
            self.say(format!("local project.created {name} kind={kind} visibility={visibility}{within}"));
            return Where::Project(name);
        }
        parent.map_or(Where::Root, Where::Folder)
    }

    fn scope(&self, place: &Where) -> String {
        match place {
            Where::Root => "root".to_owned(),
            Where::Folder(id) => format!("folder:{id}"),
            Where::Project(name) => format!("project:local/{name}"),
        }
    }

    /// Settings, profile, and what the cases take. Every one has to apply.
    fn events(&self) -> Vec<NewEvent> {
        let settings = json!({"switches": self.switches, "sources": {"corp": {"order": "version"}}});
        let settings = Body::SettingsSet(serde_json::from_value(settings).unwrap());
        let document = serde_json::value::to_raw_value(self.table.profile.document()).unwrap();
        let said = [("profile", Body::ProfileSet(ProfileDocument(document))), ("settings", settings)];
        let opening = said.into_iter().map(|(id, body)| NewEvent::of(SourceName::local(), id, &body));
        let orders = [("corp".to_owned(), rollcall_events::Order::Version)].into();
        let mut clerk = Clerk::new(orders);
        opening.chain(self.lines.iter().map(|line| clerk.event(line)).collect::<Vec<_>>()).collect()
    }

    fn roster(&self) -> Roster {
        let mut roster = Roster::new(LOG);
        for record in recorded(self.events()) {
            let folded = roster.apply(&record);
            assert_eq!(folded.effect, Effect::Applied, "{}: {}", self.table.name, record.event.data);
        }
        roster
    }

    /// Every case that is not as expected.
    fn wrong(&self, decided: impl Fn(&Case) -> Option<bool>) -> (usize, Vec<String>) {
        let mut asked = 0;
        let wrong = self.cases.iter().filter_map(|case| {
            let decided = decided(case)?;
            asked += 1;
            let why = || {
                format!("{}: {:?} of {} under {:?}: {decided}", case.id, case.question.asked, case.user, self.switches)
            };
            (decided != case.question.expected).then(why)
        });
        let wrong = wrong.collect();
        (asked, wrong)
    }
}

fn principal(roster: &Roster, case: &Case) -> Principal {
    match case.question.stage.authenticated {
        true => Principal::User(roster.user_by_name(&case.user).unwrap()),
        false => Principal::Anyone,
    }
}

fn actions(profile: &Profile, names: &[String]) -> Vec<ActionSet> {
    names.iter().map(|name| profile.operation(name).unwrap()).collect()
}

/// What a folded world says about a case.
fn by_roster(roster: &Roster, case: &Case) -> bool {
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    let place = match &case.place {
        Where::Root => Place::Root,
        Where::Folder(id) => Place::Folder(roster.folder_by_id(id).unwrap()),
        Where::Project(name) => Place::Project(roster.project_by_name(name).unwrap()),
    };
    let who = principal(roster, case);
    let may = |set: ActionSet| decide(roster, who, set, place, now).is_allowed();
    let profile = roster.profile();
    let roles_in = |project| -> BTreeSet<String> {
        let mine = members(roster, project, now).into_iter().filter(|member| member.name == case.user);
        mine.map(|member| member.role).collect()
    };
    match &case.question.asked {
        Asked::All(names) => may(actions(profile, names).into_iter().fold(ActionSet::EMPTY, ActionSet::union)),
        Asked::Any(names) => actions(profile, names).into_iter().any(may),
        Asked::Rule(Probe::CreatorGets { role }) => {
            let made = format!("made-{}", case.user.trim_start_matches('u'));
            roles_in(roster.project_by_name(&made).unwrap()).contains(role)
        }
        Asked::Rule(Probe::GroupInherits) => match place {
            Place::Project(project) => !roles_in(project).is_empty(),
            Place::Root | Place::Folder(_) => panic!("{}: a group's role is asked on a project", case.id),
        },
        Asked::Rule(Probe::PersonalProject) => {
            roster.project_by_name(&case.user).is_some_and(|own| roster.project(own).kind == "personal")
        }
        Asked::Rule(Probe::Eligible { role }) => {
            let line =
                format!("local binding.set user:corp/{} '{role}' project:local/{}", case.user, name_of(&case.place));
            let event = Clerk::default().event(&line);
            let body = Body::parse(&event.kind, &event.data).unwrap();
            roster.check_command(&body, now).is_ok()
        }
        Asked::Rule(Probe::AllOf { .. } | Probe::NoneOf { .. }) => unreachable!("they are questions about actions"),
    }
}

fn name_of(place: &Where) -> &str {
    match place {
        Where::Root => "root",
        Where::Folder(name) | Where::Project(name) => name,
    }
}

#[test]
fn every_row_of_every_table_is_what_a_folded_world_decides() {
    let mut failures = Vec::new();
    for table in Table::all() {
        let mut count = 0;
        for world in World::all(&table) {
            let roster = world.roster();
            let (asked, mut wrong) = world.wrong(|case| Some(by_roster(&roster, case)));
            count += asked;
            failures.append(&mut wrong);
        }
        assert_eq!(count, table.questions().len(), "{}", table.name);
    }
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}

/// Puts a world's events into a server's log before it starts, and starts it with the settings of the world.
fn serving(world: &World<'_>) -> Server {
    use rollcall_eventlog::{Append, EngineConfig, Log};
    struct Now;
    impl rollcall_events::Clock for Now {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            "2026-03-01T12:00:00Z".parse().unwrap()
        }
    }
    let switches: Vec<String> = world.switches.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
    let table = world.table;
    // Nobody here is a producer or a customer, and a profile without the usual roles must be told some.
    let role = table.profile.document().roles.keys().next().unwrap();
    let more = format!(
        "\n[access]\nprofile = {:?}\nswitches = {{ {} }}\nproducer_role = {role:?}\nconsumer_role = {role:?}\n\
         confirm_consumer_role = {role:?}\n",
        table.profile_setting(),
        switches.join(", ")
    );
    let mut server = Server::prepared(&more);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    std::fs::create_dir_all(server.dir.join("data")).unwrap();
    runtime.block_on(async {
        let engine = EngineConfig::Embedded { dir: server.dir.join("data") };
        let log = Log::open(&engine, std::sync::Arc::new(Now)).await.unwrap();
        log.append(world.events()).await.unwrap();
        log.close().await;
    });
    // A log without the keys of a server.
    assert_eq!(server.cli(&["keys", "begin-anew"]).code, 0);
    server.go();
    server
}

/// Operations as a question names them. The verbs of clients are asked by their actions where the profile does not say
/// what they are: a verb that is not mapped is never granted, whatever an operation of the same name needs.
fn spoken(profile: &Profile, names: &[String]) -> Vec<String> {
    let unmapped = |name: &str| Verb::ALL.iter().any(|v| v.as_str() == name && profile.registry_action(*v).is_none());
    let one = |name: &String| match profile.operation(name) {
        Some(needs) if unmapped(name) => profile.names(needs).into_iter().map(str::to_owned).collect(),
        _ => vec![name.clone()],
    };
    names.iter().flat_map(one).collect()
}

/// What a server says about a case by the standard for such questions. Of rules nobody asks there.
fn by_evaluation(server: &Server, case: &Case, profile: &Profile) -> Option<bool> {
    let subject = match case.question.stage.authenticated {
        true => json!({"type": "user", "id": case.user}),
        false => json!({"type": "anonymous", "id": "anyone"}),
    };
    let resource = match &case.place {
        Where::Root => json!({"type": "root", "id": "root"}),
        Where::Folder(id) => json!({"type": "folder", "id": id}),
        Where::Project(name) => json!({"type": "project", "id": name}),
    };
    let ask = |action: &String| {
        let question = json!({"subject": subject, "action": {"name": action}, "resource": resource});
        server.post("/access/v1/evaluation", &question).expect(200).json()["decision"] == Value::Bool(true)
    };
    match &case.question.asked {
        Asked::All(names) => Some(spoken(profile, names).iter().all(ask)),
        Asked::Any(names) => Some(spoken(profile, names).iter().any(ask)),
        Asked::Rule(_) => None,
    }
}

/// What a server explains about a case on a project.
fn by_server(server: &Server, case: &Case, profile: &Profile) -> Option<bool> {
    let Where::Project(project) = &case.place else { return None };
    let user = case.question.stage.authenticated.then_some(&case.user);
    let ask = |action: &String| {
        let answer = server.post("/api/v1/explain", &json!({"user": user, "action": action, "project": project}));
        answer.expect(200).json()["allowed"] == Value::Bool(true)
    };
    match &case.question.asked {
        Asked::All(names) => Some(spoken(profile, names).iter().all(ask)),
        Asked::Any(names) => Some(spoken(profile, names).iter().any(ask)),
        Asked::Rule(_) => None,
    }
}

/// What the token for the project's images lets the case's user do, where the row is about what a verb of a client is.
fn by_token(server: &Server, case: &Case, profile: &Profile, secrets: &mut BTreeMap<String, String>) -> Option<bool> {
    let Where::Project(project) = &case.place else { return None };
    let Asked::All(names) = &case.question.asked else { return None };
    let needs = actions(profile, names).into_iter().fold(ActionSet::EMPTY, ActionSet::union);
    let verb = [Verb::Pull, Verb::Push].into_iter().find(|verb| profile.registry_action(*verb) == Some(needs))?;
    let repository = format!("{project}/image");
    let granted = if case.question.stage.authenticated {
        let secret = secrets.entry(case.user.clone()).or_insert_with(|| server.secret_for(&case.user));
        server.granted(&case.user, secret, &repository)
    } else {
        let url = server.url(&format!("/token?service=rollcall&scope=repository:{repository}:pull,push"));
        let request = server.http.get(&url).header("user-agent", "skopeo/1.9.3");
        let answer = server.http.send(request);
        match answer.status {
            401 => Vec::new(),
            _ => {
                let granted = access(answer.expect(200).json()["token"].as_str().unwrap());
                granted.into_iter().flat_map(|(_, actions)| actions).collect()
            }
        }
    };
    Some(granted.iter().any(|word| word == verb.as_str()))
}

#[test]
fn every_row_is_what_a_server_answers_and_its_tokens_grant() {
    let (mut explained, mut by_tokens, mut failures) = (0, 0, Vec::new());
    for table in Table::all() {
        let questions = table.questions();
        let about_actions = questions.iter().filter(|(_, question)| !matches!(question.asked, Asked::Rule(_))).count();
        let (profile, mut evaluated) = (&table.profile, 0);
        for world in World::all(&table) {
            let server = serving(&world);
            let secrets = std::cell::RefCell::new(BTreeMap::new());
            let (count, wrong) = world.wrong(|case| by_evaluation(&server, case, profile));
            evaluated += count;
            failures.extend(wrong);
            let (count, wrong) = world.wrong(|case| by_server(&server, case, profile));
            explained += count;
            failures.extend(wrong.into_iter().map(|row| format!("{row} as it is explained")));
            let tokens = |case: &Case| by_token(&server, case, profile, &mut secrets.borrow_mut());
            let (count, wrong) = world.wrong(tokens);
            by_tokens += count;
            failures.extend(wrong.into_iter().map(|row| format!("{row} by its token")));
        }
        assert_eq!(evaluated, about_actions, "{}: every row about actions is asked", table.name);
    }
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
    assert!(explained > 500 && by_tokens > 100, "{explained} rows were explained and {by_tokens} tokens were read");
}

#[test]
fn a_server_makes_the_global_project_of_its_profile_once() {
    let config = "\n[access]\nprofile = \"portus\"\nproducer_role = \"contributor\"\nconsumer_role = \"viewer\"\n";
    let mut server = Server::start_with(config);
    let global = |server: &Server| {
        let projects = server.pages("/api/v1/projects").into_iter();
        projects.filter(|project| project["name"] == "global").collect::<Vec<_>>()
    };
    let made = global(&server);
    assert_eq!(made.len(), 1, "{made:?}");
    let asked = server.post("/api/v1/explain", &json!({"user": null, "action": "pull", "project": "global"}));
    assert_eq!(asked.expect(200).json()["allowed"], true, "everybody pulls from it");
    server.restart();
    assert_eq!(global(&server), made);
    let said = server.pages("/api/v1/events?limit=500");
    let created = said.iter().filter(|event| event.to_string().contains("project.created")).count();
    assert_eq!(created, 1, "{said:?}");
}
