//! Answers as a person reads them.

use serde_json::Value;

use super::call::Shown;
use crate::say;

/// An object field by field, rows as a table.
pub(super) fn show(answer: &Value, shown: Shown) -> anyhow::Result<()> {
    match (answer, shown) {
        (Value::Null, _) => Ok(say("done")?),
        (file, Shown::File) => Ok(say(&serde_json::to_string_pretty(file)?)?),
        (Value::Array(rows), Shown::Fields(names)) => show_table(rows, names),
        (Value::Array(rows), _) => show_lines(rows),
        (Value::Object(fields), Shown::Fields(names)) => {
            let fields = names
                .iter()
                .filter_map(|name| Some((*name, fields.get(*name)?)));
            show_fields(&fields.collect::<Vec<_>>())
        }
        (Value::Object(fields), _) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), value));
            show_fields(&fields.collect::<Vec<_>>())
        }
        (other, _) => Ok(say(&plain(other))?),
    }
}

/// Each row as JSON on a line.
pub(super) fn show_lines(rows: &[Value]) -> anyhow::Result<()> {
    for row in rows {
        say(&serde_json::to_string(row)?)?;
    }
    Ok(())
}

fn show_fields(fields: &[(&str, &Value)]) -> anyhow::Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields {
        say(&format!("{name:width$}  {}", plain(value)))?;
    }
    Ok(())
}

fn show_table(rows: &[Value], shown: &[&str]) -> anyhow::Result<()> {
    let cell = |row: &Value, name: &str| row.get(name).map_or_else(String::new, plain);
    let width = |name: &&str| {
        let cells = rows.iter().map(|row| cell(row, name).chars().count());
        cells.chain([name.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = shown.iter().map(width).collect();
    let line = |cells: Vec<String>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(&line(
        shown.iter().map(|name| name.to_uppercase()).collect(),
    ))?;
    for row in rows {
        say(&line(shown.iter().map(|name| cell(row, name)).collect()))?;
    }
    Ok(())
}

/// A value on one line. What came from elsewhere must not steer the terminal.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            values.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    text.replace(char::is_control, "?")
}
