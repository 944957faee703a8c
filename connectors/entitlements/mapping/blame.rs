//! Why an expression came to nothing: which place of the body is not as it expects, and where in it that is expected.

use cel::{
    ExecutionError,
    common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators},
};
use rollcall_ingest::connector::{Problem, ProblemType};

use super::{
    document::{Document, Node, escaped},
    expression::{Expression, parts},
    functions::{INDEXED, LIST, OBJECT, told, type_in_words},
    values::missing_member,
};

/// What an expression was evaluated on.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The body.
    pub payload: &'a Document,
    /// Where its item stands; the whole where there is none.
    pub item: &'a str,
}

struct Blame<'e> {
    pointer: String,
    /// The part that did not find what it expects.
    part: Option<&'e IdedExpr>,
    text: String,
}

/// The error of an expression as a problem; `name` says which expression it is.
pub(super) fn problem(name: &str, expression: &Expression, error: &ExecutionError, seen: Seen<'_>) -> Problem {
    let Blame { pointer, part, text } = blame(expression, error, seen);
    let at = part.and_then(|part| expression.place_of(part)).map_or_else(String::new, |at| format!(", character {at}"));
    Problem::at(ProblemType::ExpressionFailed, pointer, format!("{text} ({name}{at})"))
}

fn blame<'e>(expression: &'e Expression, error: &ExecutionError, seen: Seen<'_>) -> Blame<'e> {
    let all = parts(&expression.written);
    let whole = |text: String| Blame { pointer: seen.item.to_owned(), part: None, text };
    match error {
        ExecutionError::NoSuchKey(key) => match missing_member(key) {
            Some((number, name)) => {
                let object = seen.payload.pointer_of(number).unwrap_or_default();
                let selects = |part: &&&IdedExpr| matches!(&part.expr, Expr::Select(select) if select.field == name);
                let text = format!("`{}` is missing", name.escape_debug());
                Blame { pointer: format!("{object}/{}", escaped(name)), part: all.iter().find(selects).copied(), text }
            }
            None => {
                let index = all.iter().find_map(|part| match &part.expr {
                    Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::INDEX => match &args[..] {
                        [_, index] => Some(*part).zip(pointer(index, seen)).filter(|(_, at)| is_text(seen, at, key)),
                        _ => None,
                    },
                    _ => None,
                });
                let text = format!("`{}` is none of the words that the mapping knows", key.escape_debug());
                match index {
                    Some((part, pointer)) => Blame { pointer, part: Some(part), text },
                    None => whole(text),
                }
            }
        },
        ExecutionError::NoSuchOverload(overload) => {
            let types: Vec<_> = overload.argument_types().iter().map(|name| type_in_words(name)).collect();
            let function = overload.function();
            if function == "_._" {
                let on = all.iter().find_map(|part| match &part.expr {
                    Expr::Select(select) => {
                        let at = pointer(&select.operand, seen)?;
                        let found = seen.payload.at(&at)?;
                        let scalar = !matches!(found, Node::Object(_));
                        scalar.then_some((*part, at, select.field.as_str()))
                    }
                    _ => None,
                });
                let what = types.first().map_or("", String::as_str);
                return match on {
                    Some((part, pointer, field)) => {
                        let text =
                            format!("an object with `{}` is expected here, and {what} is there", field.escape_debug());
                        Blame { pointer, part: Some(part), text }
                    }
                    None => whole(format!("an object is expected, and {what} is there")),
                };
            }
            let text = format!("{} cannot be applied to {}", function_in_words(function), types.join(" and "));
            of_call(&all, function, seen, text).unwrap_or_else(whole)
        }
        ExecutionError::FunctionError { function, message } if [OBJECT, LIST, INDEXED].contains(&function.as_str()) => {
            no_object(&all, function, message, seen)
        }
        ExecutionError::FunctionError { function, message } => {
            let name = function.trim_start_matches('@');
            // The library's own words are those of another language.
            let message = match name {
                "" | "seconds" | "millis" | "day_start" | "day_end" => message.as_str(),
                "int" | "uint" | "double" => "does not read this as a number",
                "duration" => "does not read this as a length of time, as in '72h'",
                "timestamp" => "does not read this as an instant, as in '2026-01-31T12:00:00Z'",
                _ => "cannot be applied to this",
            };
            let text = if name.is_empty() { message.to_owned() } else { format!("`{name}` {message}") };
            of_call(&all, name, seen, text).unwrap_or_else(whole)
        }
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => {
            let written = match *operator {
                "add" => operators::ADD,
                "sub" => operators::SUBSTRACT,
                "mul" => operators::MULTIPLY,
                "div" => operators::DIVIDE,
                _ => operators::MODULO,
            };
            let text = format!(
                "{} needs two values of one kind: string(..) and int(..) make others",
                function_in_words(written)
            );
            of_call(&all, written, seen, text).unwrap_or_else(whole)
        }
        ExecutionError::UnexpectedType { got, want } => {
            let (got, want) = (type_in_words(got), type_in_words(want));
            whole(format!("{want} is expected, and {got} is there"))
        }
        ExecutionError::IndexOutOfBounds(_) => whole("the list has no such item".to_owned()),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            whole("it divides by zero".to_owned())
        }
        ExecutionError::Overflow(..) => whole("the number or the time is too large".to_owned()),
        ExecutionError::DuplicateKey(_) => whole("the map has a key twice".to_owned()),
        _ => whole("it cannot be evaluated on this body".to_owned()),
    }
}

/// What is taken for an object, or for something with an index, and is none.
fn no_object<'e>(all: &[&'e IdedExpr], function: &str, found: &str, seen: Seen<'_>) -> Blame<'e> {
    let part = all.iter().find_map(|part| {
        let (on, member) = match &part.expr {
            Expr::Select(select) => (&*select.operand, select.field.as_str()),
            Expr::Call(call) => match (call.func_name.as_str(), &call.args[..]) {
                (operators::OPT_SELECT, [on, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }]) => {
                    (on, name.inner())
                }
                (
                    operators::INDEX | operators::OPT_INDEX,
                    [on, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }],
                ) => (on, name.inner()),
                (operators::INDEX | operators::OPT_INDEX, [on, _]) => (on, ""),
                _ => return None,
            },
            _ => return None,
        };
        if function == LIST && !member.is_empty() {
            return None;
        }
        let at = pointer(on, seen)?;
        let is_none = match seen.payload.at(&at)? {
            Node::Object(_) => function == LIST,
            Node::List(_) => function == OBJECT,
            _ => true,
        };
        is_none.then_some((*part, at, member))
    });
    let Some((part, pointer, member)) = part else {
        let text = format!("an object is expected, and {found} is there");
        return Blame { pointer: seen.item.to_owned(), part: None, text };
    };
    let text = match member {
        "" if function == LIST => format!("a list is expected here, and {found} is there"),
        "" => format!("a list or an object is expected here, and {found} is there"),
        member => format!("an object with `{}` is expected here, and {found} is there", member.escape_debug()),
    };
    Blame { pointer, part: Some(part), text }
}

/// The first place of the body that an expression looks at.
pub(super) fn place(expression: &Expression, seen: Seen<'_>) -> String {
    let named = parts(&expression.written).into_iter().filter_map(|part| pointer(part, seen));
    named.max_by_key(String::len).unwrap_or_default()
}

/// The call of a function whose argument stands in the body.
fn of_call<'e>(all: &[&'e IdedExpr], function: &str, seen: Seen<'_>, text: String) -> Result<Blame<'e>, String> {
    let found = all.iter().find_map(|part| match &part.expr {
        Expr::Call(call) if call.func_name == function => {
            let args = call.target.iter().map(AsRef::as_ref).chain(&call.args);
            let places: Vec<_> = args.filter_map(|arg| pointer(arg, seen)).collect();
            let odd = places.iter().find(|at| matches!(seen.payload.at(at), Some(Node::Null(_)))).or(places.first());
            odd.map(|pointer| (*part, pointer.clone()))
        }
        _ => None,
    });
    let (part, pointer) = found.ok_or_else(|| text.clone())?;
    let here = seen.payload.at(&pointer).map(|node| format!("; {} is there", told(node.as_val())));
    let text = if text.contains(", not ") || text.contains("cannot be applied") {
        text
    } else {
        text + &here.unwrap_or_default()
    };
    Ok(Blame { pointer, part: Some(part), text })
}

/// The place of the body that a part names.
fn pointer(part: &IdedExpr, seen: Seen<'_>) -> Option<String> {
    let step = |base: &IdedExpr, step: &str| Some(format!("{}/{}", pointer(base, seen)?, escaped(step)));
    match &part.expr {
        Expr::Ident(name) if name == "payload" => Some(String::new()),
        Expr::Ident(name) if name == "item" => Some(seen.item.to_owned()),
        Expr::Select(select) if !select.test => step(&select.operand, &select.field),
        Expr::Call(call) => match (call.func_name.as_str(), &call.args[..]) {
            (operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT, [base, index]) => match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => step(base, name.inner()),
                Expr::Literal(LiteralValue::Int(at)) => step(base, &at.inner().to_string()),
                _ => None,
            },
            // What a conversion is applied to is what is wrong.
            ("string" | "int" | "seconds" | "millis" | "day_start" | "day_end", [inner]) => pointer(inner, seen),
            _ => None,
        },
        _ => None,
    }
}

fn is_text(seen: Seen<'_>, pointer: &str, wanted: &str) -> bool {
    match seen.payload.at(pointer) {
        Some(Node::Text(text)) => text.inner() == wanted,
        Some(Node::Int(number)) => number.inner().to_string() == wanted,
        Some(Node::Bool(value)) => value.inner().to_string() == wanted,
        _ => false,
    }
}

fn function_in_words(function: &str) -> String {
    let name = function.trim_start_matches('@').trim_matches('_');
    match name {
        "within" => "`in`".to_owned(),
        name => format!("`{name}`"),
    }
}
