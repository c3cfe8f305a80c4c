//! Conditions and updates, as values that can be applied to an item.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::stored::{Fields, bytes_of};
use crate::answer::ApiError;
use crate::store::Text;

#[derive(Debug)]
pub(super) enum Operand {
    Path(String),
    Value(Value),
    /// Of a list or a text; issei asks for no other.
    Size(String),
    IfNotExists(String, Box<Operand>),
    ListAppend(Box<Operand>, Box<Operand>),
    Plus(Box<Operand>, Box<Operand>),
    Minus(Box<Operand>, Box<Operand>),
}

#[derive(Debug)]
pub(super) enum Condition {
    Exists(String),
    NotExists(String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    Compare(Operand, Comparator, Operand),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) set: Vec<(String, Operand)>,
    pub(super) remove: Vec<String>,
    pub(super) add: Vec<(String, Value)>,
}

fn number(value: &Value) -> Option<i128> {
    value["N"].as_str()?.parse().ok()
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return Some(left.cmp(&right));
    }
    match (left["S"].as_str(), right["S"].as_str()) {
        (Some(left), Some(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        _ => None,
    }
}

impl Operand {
    fn value(&self, item: &Fields<'_>) -> Result<Option<Value>, ApiError> {
        let number_of = |operand: &Self| Ok::<_, ApiError>(operand.value(item)?.as_ref().and_then(number));
        Ok(match self {
            Self::Path(path) => item.get(path)?,
            Self::Value(value) => Some(value.clone()),
            Self::Size(path) => item.get(path)?.and_then(|value| {
                let size = value["L"].as_array().map(Vec::len).or_else(|| value["S"].as_str().map(str::len))?;
                Some(json!({ "N": size.to_string() }))
            }),
            Self::IfNotExists(path, other) => match item.get(path)? {
                Some(value) => Some(value),
                None => other.value(item)?,
            },
            Self::ListAppend(left, right) => left.value(item)?.zip(right.value(item)?).and_then(|(left, right)| {
                let (left, right) = (left["L"].as_array()?, right["L"].as_array()?);
                Some(json!({ "L": left.iter().chain(right).collect::<Vec<_>>() }))
            }),
            Self::Plus(left, right) => number_of(left)?.zip(number_of(right)?).map(|(left, right)| sum(left, right)),
            Self::Minus(left, right) => number_of(left)?.zip(number_of(right)?).map(|(left, right)| sum(left, -right)),
        })
    }
}

fn sum(left: i128, right: i128) -> Value {
    json!({ "N": (left + right).to_string() })
}

impl Condition {
    pub(super) fn holds(&self, item: &Fields<'_>) -> Result<bool, ApiError> {
        let texts = |whole: &Operand, part: &Operand, holds: fn(&str, &str) -> bool| {
            let both = whole.value(item)?.zip(part.value(item)?);
            Ok(both
                .is_some_and(|(whole, part)| whole["S"].as_str().zip(part["S"].as_str()).is_some_and(|(whole, part)| holds(whole, part))))
        };
        Ok(match self {
            Self::Exists(path) => item.has(path),
            Self::NotExists(path) => !item.has(path),
            Self::BeginsWith(text, prefix) => return texts(text, prefix, |text, prefix| text.starts_with(prefix)),
            Self::Contains(whole, part) => return texts(whole, part, |whole, part| whole.contains(part)),
            Self::Compare(left, comparator, right) => {
                let (Some(left), Some(right)) = (left.value(item)?, right.value(item)?) else {
                    // An attribute that is not there is unequal to everything.
                    return Ok(*comparator == Comparator::NotEqual);
                };
                match comparator {
                    Comparator::Equal => left == right || compare(&left, &right) == Some(Ordering::Equal),
                    Comparator::NotEqual => left != right && compare(&left, &right) != Some(Ordering::Equal),
                    Comparator::Less => compare(&left, &right) == Some(Ordering::Less),
                    Comparator::LessOrEqual => matches!(compare(&left, &right), Some(Ordering::Less | Ordering::Equal)),
                    Comparator::Greater => compare(&left, &right) == Some(Ordering::Greater),
                    Comparator::GreaterOrEqual => matches!(compare(&left, &right), Some(Ordering::Greater | Ordering::Equal)),
                }
            }
            Self::And(left, right) => left.holds(item)? && right.holds(item)?,
            Self::Or(left, right) => left.holds(item)? || right.holds(item)?,
            Self::Not(inner) => !inner.holds(item)?,
        })
    }
}

impl Update {
    /// The attributes that the update touches.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.set
            .iter()
            .map(|(name, _)| name.as_str())
            .chain(self.remove.iter().map(String::as_str))
            .chain(self.add.iter().map(|(name, _)| name.as_str()))
    }

    /// What it makes of an item. All that it reads is as it was before.
    pub(super) fn apply(&self, old: &Text) -> Result<Text, ApiError> {
        let before = Fields::of(Some(old))?;
        let mut changed = BTreeMap::new();
        for (path, operand) in &self.set {
            let value = operand
                .value(&before)?
                .ok_or_else(|| ApiError::validation("The provided expression refers to an attribute that does not exist in the item"))?;
            changed.insert(path.as_str(), Some(value));
        }
        changed.extend(self.remove.iter().map(|path| (path.as_str(), None)));
        for (path, value) in &self.add {
            let added = match before.get(path)? {
                None => value.clone(),
                Some(old) => add(&old, value)?,
            };
            changed.insert(path, Some(added));
        }
        let mut size = old.size;
        for (name, value) in &changed {
            size += value.as_ref().map_or(0, |value| name.len() + bytes_of(value));
            size -= before.get(name)?.map_or(0, |value| name.len() + bytes_of(&value));
        }
        Ok(Text { body: before.with(&changed)?, size })
    }
}

fn add(old: &Value, value: &Value) -> Result<Value, ApiError> {
    if let (Some(old), Some(value)) = (number(old), number(value)) {
        return Ok(sum(old, value));
    }
    for kind in ["SS", "NS"] {
        if let (Some(old), Some(value)) = (old[kind].as_array(), value[kind].as_array()) {
            let mut members: Vec<&Value> = old.iter().chain(value).collect();
            members.sort_by_key(|member| member.as_str());
            members.dedup();
            return Ok(json!({ kind: members }));
        }
    }
    Err(ApiError::validation("An operand in the update expression has an incorrect data type"))
}
