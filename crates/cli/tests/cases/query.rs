//! `programs[name=x].loaded == true`: questions to JSON, for the `json` directive.

use regex::Regex;
use serde_json::Value;

/// Checks `PATH == JSON`, `PATH ~ PATTERN` or `PATH lacks JSON` (no element of the list equals it).
pub(crate) fn check(json: &Value, question: &str) -> Result<(), String> {
    let (path, op, wanted) = split(question)?;
    let found = follow(json, path)?;
    let holds = match op {
        "==" => found == parse(wanted)?,
        "lacks" => {
            let wanted = parse(wanted)?;
            !found.as_array().ok_or("no list")?.contains(&wanted)
        }
        _ => {
            let text = found.as_str().map_or_else(|| found.to_string(), String::from);
            Regex::new(wanted).map_err(|e| e.to_string())?.is_match(&text)
        }
    };
    if holds { Ok(()) } else { Err(format!("{question}: {path} is {found}")) }
}

fn split(question: &str) -> Result<(&str, &str, &str), String> {
    for op in ["==", "lacks", "~"] {
        if let Some((path, wanted)) = question.split_once(&format!(" {op} ")) {
            return Ok((path.trim(), op, wanted.trim()));
        }
    }
    Err(format!("no question: {question}"))
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("{text}: {e}"))
}

/// `a.b`, `a[0]`, `a[key=text]`, `a[*].b` (the list of all), `a.length`.
fn follow(json: &Value, path: &str) -> Result<Value, String> {
    let Some((step, rest)) = next_step(path) else { return Ok(json.clone()) };
    let missing = || format!("there is no {step} in {json}");
    if step == "*" {
        let all = json.as_array().ok_or_else(missing)?;
        return all.iter().map(|v| follow(v, rest)).collect();
    }
    if let (Value::Array(all), "length") = (json, step) {
        return Ok(all.len().into());
    }
    let next = match (json, step.split_once('=')) {
        (Value::Array(all), Some((key, text))) => all.iter().find(|v| v[key] == text),
        (Value::Array(all), None) => step.parse().ok().and_then(|i: usize| all.get(i)),
        (json, _) => json.get(step),
    };
    follow(next.ok_or_else(missing)?, rest)
}

fn next_step(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_start_matches('.');
    if path.is_empty() {
        return None;
    }
    if let Some(inner) = path.strip_prefix('[') {
        return inner.split_once(']');
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    Some(path.split_at(end))
}
