//! One expression: read within limits, its names held against what there is, and changed so that evaluating it costs no
//! more than it may. The parser recurses and evaluates nothing in parts, so both are bounded before they run.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use cel::{
    Context, ExecutionError, Value,
    common::{
        ast::{
            CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, ListExpr, LiteralValue, SourceInfo,
            operators,
        },
        types::CelString,
        value::CowVal,
    },
};

use super::{
    functions::{COST, GLOBAL, IN, INDEXED, LIST, LOOP, MACROS, MEMBER, OBJECT, OPTIONAL, SAME, TYPES, ZONED, env},
    meter::{METER, Meter},
    names::suggest,
};

/// The longest expression, in bytes.
const MAX_BYTES: usize = 4096;
/// How deep brackets may be nested, and how deep what is read of an expression may be.
const MAX_DEPTH: usize = 32;
/// How many conditions may hang on each other, as in `a ? b : c ? d : e`.
const MAX_CONDITIONS: usize = 32;
/// The stack on which expressions are parsed and evaluated: enough for the longest one, whatever is in it. What is not used
/// of it takes no memory.
const STACK: usize = 64 << 20;

/// An expression that may be evaluated.
pub(super) struct Expression {
    source: String,
    /// As it was written.
    pub written: IdedExpr,
    places: SourceInfo,
    /// As it is evaluated: everything that costs is charged.
    charged: IdedExpr,
    /// How many steps it has, loops counted once.
    steps: u64,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where, in characters from 1; nothing for the whole.
    pub at: Option<usize>,
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "at character {at}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl Mistake {
    fn whole(text: impl Into<String>) -> Self {
        Self { at: None, text: text.into() }
    }
}

impl Expression {
    /// Reads an expression that may name these variables, for a source in this time zone.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(source: &str, variables: &[&str], zone: chrono_tz::Tz) -> Result<Self, Mistake> {
        check_form(source)?;
        let (written, places) = parse(source)?;
        Names { places: &places, source }
            .check(&written, &mut variables.iter().map(|name| (*name).to_owned()).collect())?;
        let steps = steps_of(&written);
        let charged = Charging { zone: zone.name() }.expression(&written);
        Ok(Self { source: source.to_owned(), written, places, charged, steps })
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// As the values of the context have it, or it cost too much.
    pub fn evaluate<'e, 'v>(
        &'e self,
        context: &'e Context<'_, 'v>,
        meter: &Meter,
    ) -> Result<CowVal<'e, 'v>, ExecutionError> {
        meter.charge(self.steps)?;
        Value::resolve_val(&self.charged, context)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where a part of it stands, in characters from 1.
    pub fn place_of(&self, part: &IdedExpr) -> Option<usize> {
        let at = place(&self.places, &self.source, part.id)?;
        // A call stands at its parenthesis; its name is meant.
        let name = match &part.expr {
            Expr::Call(CallExpr { func_name, target: None, .. }) => func_name.chars().count(),
            _ => 0,
        };
        let is_call = self.source.chars().nth(at - 1) == Some('(');
        Some(if is_call { at.saturating_sub(name).max(1) } else { at })
    }
}

fn place(places: &SourceInfo, source: &str, id: u64) -> Option<usize> {
    let (start, _) = places.offset_for(id)?;
    let start = usize::try_from(start).ok()?;
    Some(start.min(source.chars().count()) + 1)
}

/// What can be said of an expression before it is parsed: that its length and its nesting are within limits.
fn check_form(source: &str) -> Result<(), Mistake> {
    if source.trim().is_empty() {
        return Err(Mistake::whole("there is no expression"));
    }
    if source.len() > MAX_BYTES {
        return Err(Mistake::whole(format!("it has {} bytes, at most {MAX_BYTES} are read", source.len())));
    }
    let (mut depth, mut conditions, mut signs) = (0, 0, 0);
    let mut chars = source.chars().enumerate().peekable();
    while let Some((at, c)) = chars.next() {
        let too_deep = |what: &str| Err(Mistake { at: Some(at + 1), text: what.to_owned() });
        signs = if matches!(c, '!' | '-') {
            signs + 1
        } else if c.is_whitespace() {
            signs
        } else {
            0
        };
        match c {
            '"' | '\'' => skip_text(c, &mut chars),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = usize::saturating_sub(depth, 1),
            '?' => conditions += 1,
            '/' if chars.peek().is_some_and(|(_, next)| *next == '/') => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return too_deep(&format!("brackets are nested deeper than {MAX_DEPTH}"));
        }
        if conditions > MAX_CONDITIONS {
            return too_deep(&format!(
                "there are more than {MAX_CONDITIONS} `?`; use a map, as in {{'A': 'x'}}[payload.a]"
            ));
        }
        if signs > MAX_DEPTH {
            return too_deep(&format!("there are more than {MAX_DEPTH} signs in a row"));
        }
    }
    Ok(())
}

/// Goes on behind a text that has begun. Wherever it errs, in a raw text that ends in `\`, the depth that is counted is not
/// that of the parser, whose own limit and stack hold.
fn skip_text(quote: char, chars: &mut std::iter::Peekable<impl Iterator<Item = (usize, char)>>) {
    let mut is_quote = || chars.next_if(|(_, c)| *c == quote).is_some();
    let (second, third) = (is_quote(), false);
    let third = if second { chars.next_if(|(_, c)| *c == quote).is_some() } else { third };
    if second && !third {
        return;
    }
    let mut ends = 0;
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
                ends = 0;
            }
            c if c == quote => {
                ends += 1;
                if !third || ends == 3 {
                    return;
                }
            }
            _ => ends = 0,
        }
    }
}

/// Does something on a stack of its own, however little there is here.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Parses within a stack that the longest expression does not fill.
fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), Mistake> {
    let failed = || Mistake::whole("it cannot be read");
    let parsing = || {
        let (parsed, places) = env().parser().parse_with_source_info(source).map_err(|errors| {
            // What is incomplete follows from what is wrong with the syntax.
            let wrong = errors.errors.iter().find(|error| error.msg.starts_with("Syntax error"));
            let first = wrong.or(errors.errors.first());
            first.map_or_else(failed, |error| syntax(source, error.pos, &error.msg))
        })?;
        // What is too deep is given back on this stack too.
        if depth_of(&parsed) > MAX_DEPTH {
            return Err(Mistake::whole(format!("it is nested deeper than {MAX_DEPTH}")));
        }
        Ok((parsed, places))
    };
    // A parser that panics refuses what it was given.
    let parsed = on_own_stack(|| catch_unwind(AssertUnwindSafe(parsing)));
    parsed.map_err(|_| failed())?.unwrap_or_else(|_| Err(failed()))
}

/// What a parser says of a syntax, in words that name what was found.
fn syntax(source: &str, (line, column): (isize, isize), message: &str) -> Mistake {
    let line_at = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = source.split_inclusive('\n').take(line_at).map(|line| line.chars().count()).sum();
    let at = usize::try_from(column).ok().filter(|_| line > 0).map(|column| before + column.max(1));
    let message = message.trim_start_matches("Syntax error: ");
    let quoted = || message.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')).map(|(found, _)| found);
    let found = message.split(" expecting").next().and_then(|told| told.split_once('\'')?.1.strip_suffix('\''));
    let text = match found.or_else(quoted) {
        Some("<EOF>") => "it ends before it is complete".to_owned(),
        Some(found) if message.starts_with("token recognition") => {
            format!("`{}` is nothing of an expression", found.escape_debug())
        }
        Some(found) if message.contains("input") => format!("`{}` cannot stand here", found.escape_debug()),
        _ => message.chars().take(200).collect(),
    };
    Mistake { at, text }
}

/// Everything directly below a part.
fn children(part: &IdedExpr) -> Vec<&IdedExpr> {
    match &part.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Comprehension(all) => {
            vec![&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(entry).collect(),
        Expr::Struct(of) => of.entries.iter().flat_map(entry).collect(),
        Expr::Select(select) => vec![&select.operand],
    }
}

fn entry(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
    match &entry.expr {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

fn depth_of(part: &IdedExpr) -> usize {
    1 + children(part).into_iter().map(depth_of).max().unwrap_or(0)
}

fn steps_of(part: &IdedExpr) -> u64 {
    1 + children(part).into_iter().map(steps_of).sum::<u64>()
}

/// Every part, the whole first.
pub(super) fn parts(whole: &IdedExpr) -> Vec<&IdedExpr> {
    let mut all = vec![whole];
    let mut next = 0;
    while let Some(part) = all.get(next).copied() {
        all.extend(children(part));
        next += 1;
    }
    all
}

/// Holds the names of an expression against those that there are.
struct Names<'a> {
    places: &'a SourceInfo,
    source: &'a str,
}

impl Names<'_> {
    fn check(&self, part: &IdedExpr, known: &mut Vec<String>) -> Result<(), Mistake> {
        let unknown = |what: String| Mistake { at: place(self.places, self.source, part.id), text: what };
        match &part.expr {
            Expr::Ident(name) => {
                let is_known = known.contains(name) || TYPES.contains(&name.as_str());
                if !is_known {
                    let near = suggest(name, known.iter().map(String::as_str));
                    return Err(unknown(format!("there is no variable `{name}`{near}")));
                }
            }
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    || (name.starts_with('_') && !name.ends_with(|c: char| c.is_ascii_alphanumeric()));
                let optional = call.target.as_ref().is_some_and(|on| on.expr == Expr::Ident("optional".to_owned()));
                let all = match (&call.target, optional) {
                    (None, _) => GLOBAL,
                    (Some(_), true) => OPTIONAL,
                    (Some(_), false) => MEMBER,
                };
                if !is_operator && !all.contains(&name) {
                    let near = suggest(name, [GLOBAL, MEMBER, MACROS].concat().into_iter());
                    let what = if MACROS.contains(&name) || GLOBAL.contains(&name) || MEMBER.contains(&name) {
                        format!("`{name}` is not called like this; see the list of functions")
                    } else {
                        format!("there is no function `{name}`{near}")
                    };
                    return Err(unknown(what));
                }
                let on = call.target.iter().map(AsRef::as_ref).filter(|_| !optional);
                return on.chain(&call.args).try_for_each(|part| self.check(part, known));
            }
            Expr::Comprehension(all) => {
                self.check(&all.iter_range, known)?;
                self.check(&all.accu_init, known)?;
                let before = known.len();
                known.extend([all.iter_var.clone(), all.accu_var.clone()]);
                known.extend(all.iter_var2.clone());
                let inner = [&all.loop_cond, &all.loop_step, &all.result];
                let checked = inner.into_iter().try_for_each(|part| self.check(part, known));
                known.truncate(before);
                return checked;
            }
            Expr::Struct(of) => {
                return Err(unknown(format!("there is no type `{}`; write a map, as in {{'a': 1}}", of.type_name)));
            }
            _ => {}
        }
        children(part).into_iter().try_for_each(|part| self.check(part, known))
    }
}

/// Writes into an expression what it is charged for. Its parts keep their ids.
struct Charging {
    zone: &'static str,
}

impl Charging {
    fn expression(&self, part: &IdedExpr) -> IdedExpr {
        let expr = match &part.expr {
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(all) => {
                let inner = [&all.loop_cond, &all.loop_step].map(steps_of);
                let steps = i64::try_from(inner.iter().sum::<u64>()).unwrap_or(i64::MAX);
                let steps = ided(Expr::Literal(LiteralValue::Int(steps.into())));
                Expr::Comprehension(Box::new(ComprehensionExpr {
                    iter_range: charged(LOOP, vec![self.expression(&all.iter_range), steps]),
                    iter_var: all.iter_var.clone(),
                    iter_var2: all.iter_var2.clone(),
                    accu_var: all.accu_var.clone(),
                    accu_init: self.copied(&all.accu_init),
                    loop_cond: self.expression(&all.loop_cond),
                    loop_step: self.expression(&all.loop_step),
                    result: self.expression(&all.result),
                }))
            }
            Expr::List(list) => Expr::List(ListExpr {
                elements: list.elements.iter().map(|element| self.copied(element)).collect(),
                optional_indices: list.optional_indices.clone(),
            }),
            Expr::Map(map) => {
                let mut map = map.clone();
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.copied(&entry.key);
                        entry.value = self.copied(&entry.value);
                    }
                }
                Expr::Map(map)
            }
            Expr::Select(select) => {
                let mut select = select.clone();
                let on = self.expression(&select.operand);
                *select.operand = if is_optional(&select.operand) { object(on) } else { on };
                Expr::Select(select)
            }
            other => other.clone(),
        };
        IdedExpr { id: part.id, expr }
    }

    fn call(&self, call: &CallExpr) -> Expr {
        let target = call.target.as_ref();
        let all = |args: Vec<IdedExpr>, name: &str| CallExpr { func_name: name.to_owned(), target: None, args };
        let name = call.func_name.as_str();
        match name {
            // They look at nothing but a truth value, or at one place of a list or an object.
            operators::CONDITIONAL
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE
            | operators::NEGATE => Expr::Call(all(call.args.iter().map(|arg| self.expression(arg)).collect(), name)),
            operators::INDEX if !call.args.first().is_some_and(is_optional) => {
                Expr::Call(all(self.indexed(call), name))
            }
            operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT => {
                let of_kind = match call.args.get(1).map(|index| &index.expr) {
                    Some(Expr::Literal(LiteralValue::String(_))) => OBJECT,
                    Some(Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_))) => LIST,
                    _ => INDEXED,
                };
                let mut args = self.indexed(call);
                if let Some(on) = args.first_mut() {
                    *on = ided(Expr::Call(all(vec![on.clone()], of_kind)));
                }
                Expr::Call(all(args, name))
            }
            operators::EQUALS | operators::IN => {
                let own = if name == operators::IN { IN } else { SAME };
                charged(own, call.args.iter().map(|arg| self.copied(arg)).collect()).expr
            }
            operators::NOT_EQUALS => {
                let same = charged(SAME, call.args.iter().map(|arg| self.copied(arg)).collect());
                Expr::Call(all(vec![same], operators::LOGICAL_NOT))
            }
            _ => {
                let mut args: Vec<_> = call.args.iter().map(|arg| self.copied(arg)).collect();
                if let Some((_, zoned)) = ZONED.iter().find(|(own, _)| *own == name && target.is_none()) {
                    args.push(ided(Expr::Literal(LiteralValue::String(CelString::from(self.zone.to_owned())))));
                    return Expr::Call(all(args, zoned));
                }
                let is_namespace = |on: &IdedExpr| on.expr == Expr::Ident("optional".to_owned());
                let target = target.map(|on| Box::new(if is_namespace(on) { (**on).clone() } else { self.copied(on) }));
                Expr::Call(CallExpr { func_name: name.to_owned(), target, args })
            }
        }
    }

    /// What an index is looked for in, and the index, which is looked at as a whole.
    fn indexed(&self, call: &CallExpr) -> Vec<IdedExpr> {
        let arg = |(nth, arg)| if nth == 0 { self.expression(arg) } else { self.copied(arg) };
        call.args.iter().enumerate().map(arg).collect()
    }

    /// A part whose value is copied or looked at as a whole. What a loop collects stays as the evaluator knows it, else it
    /// would be copied for each of what it goes over.
    fn copied(&self, part: &IdedExpr) -> IdedExpr {
        let inner = self.expression(part);
        match &part.expr {
            Expr::Literal(_) | Expr::List(_) | Expr::Map(_) => inner,
            Expr::Ident(name) if name.starts_with('@') => inner,
            _ => charged(COST, vec![inner]),
        }
    }
}

/// Whether a part is an optional value as it is written: a member or an item of one is optional too.
fn is_optional(part: &IdedExpr) -> bool {
    match &part.expr {
        Expr::Call(call) => match call.func_name.as_str() {
            operators::OPT_INDEX | operators::OPT_SELECT => true,
            operators::INDEX => call.args.first().is_some_and(is_optional),
            _ => false,
        },
        Expr::Select(select) => is_optional(&select.operand),
        _ => false,
    }
}

/// A part that is an object, or an optional one.
fn object(part: IdedExpr) -> IdedExpr {
    ided(Expr::Call(CallExpr { func_name: OBJECT.to_owned(), target: None, args: vec![part] }))
}

fn charged(function: &str, mut args: Vec<IdedExpr>) -> IdedExpr {
    args.push(ided(Expr::Ident(METER.to_owned())));
    ided(Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }))
}

/// A part that nobody wrote.
fn ided(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
