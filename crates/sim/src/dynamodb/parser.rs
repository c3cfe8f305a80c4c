//! Reads condition, update and key condition expressions: the part of the grammar that issei uses.

use serde_json::Value;

use super::expression::{Comparator, Condition, Operand, Update};
use crate::answer::ApiError;

pub(super) struct Parser<'a> {
    tokens: Vec<String>,
    at: usize,
    body: &'a Value,
}

fn tokens(text: &str) -> Result<Vec<String>, ApiError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut token = c.to_string();
        match c {
            '(' | ')' | ',' | '=' | '+' | '-' => {}
            '<' | '>' => {
                if let Some(next) = chars.next_if(|next| matches!(next, '=' | '>')) {
                    token.push(next);
                }
            }
            '#' | ':' | '_' | 'a'..='z' | 'A'..='Z' => {
                while let Some(next) = chars.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
                    token.push(next);
                }
            }
            other => return Err(ApiError::validation(format!("Invalid expression: {other:?} in {text:?}"))),
        }
        tokens.push(token);
    }
    Ok(tokens)
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &str, body: &'a Value) -> Result<Self, ApiError> {
        Ok(Self { tokens: tokens(text)?, at: 0, body })
    }

    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &str) -> bool {
        let taken = self.peek().eq_ignore_ascii_case(token);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, token: &str) -> Result<(), ApiError> {
        if self.takes(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> ApiError {
        ApiError::validation(format!("Invalid expression: Syntax error; token: {:?}", self.peek()))
    }

    fn end<T>(&self, value: T) -> Result<T, ApiError> {
        if self.at < self.tokens.len() { Err(self.unexpected()) } else { Ok(value) }
    }

    fn path(&mut self) -> Result<String, ApiError> {
        let token = self.next();
        if token.starts_with('#') {
            let name = self.body["ExpressionAttributeNames"][&token].as_str();
            return name.map(str::to_owned).ok_or_else(|| {
                ApiError::validation(format!(
                    "An expression attribute name used in the document path is not defined; attribute name: {token}"
                ))
            });
        }
        if token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(&token)) {
                return Err(ApiError::validation(format!(
                    "Invalid expression: Attribute name is a reserved keyword; reserved keyword: {token}"
                )));
            }
            return Ok(token);
        }
        self.at -= 1;
        Err(self.unexpected())
    }

    fn value(&mut self) -> Result<Value, ApiError> {
        let token = self.next();
        let value = &self.body["ExpressionAttributeValues"][&token];
        if value.is_null() {
            return Err(ApiError::validation(format!(
                "An expression attribute value used in expression is not defined; attribute value: {token}"
            )));
        }
        Ok(value.clone())
    }

    fn operand(&mut self) -> Result<Operand, ApiError> {
        if self.peek().starts_with(':') { Ok(Operand::Value(self.value()?)) } else { Ok(Operand::Path(self.path()?)) }
    }

    /// The paths of a projection.
    pub(super) fn names(mut self) -> Result<Vec<String>, ApiError> {
        let mut names = vec![self.path()?];
        while self.takes(",") {
            names.push(self.path()?);
        }
        self.end(names)
    }

    pub(super) fn condition(mut self) -> Result<Condition, ApiError> {
        let condition = self.or()?;
        self.end(condition)
    }

    fn or(&mut self) -> Result<Condition, ApiError> {
        let mut left = self.and()?;
        while self.takes("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Condition, ApiError> {
        let mut left = self.not()?;
        while self.takes("AND") {
            left = Condition::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Condition, ApiError> {
        if self.takes("NOT") {
            return Ok(Condition::Not(Box::new(self.not()?)));
        }
        if self.takes("(") {
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.peek() {
            "attribute_exists" => Ok(Condition::Exists(self.argument()?)),
            "attribute_not_exists" => Ok(Condition::NotExists(self.argument()?)),
            "begins_with" => self.arguments().map(|(text, prefix)| Condition::BeginsWith(text, prefix)),
            "contains" => self.arguments().map(|(whole, part)| Condition::Contains(whole, part)),
            _ => {
                let left = if self.peek() == "size" { Operand::Size(self.argument()?) } else { self.operand()? };
                let comparator = match self.next().as_str() {
                    "=" => Comparator::Equal,
                    "<>" => Comparator::NotEqual,
                    "<" => Comparator::Less,
                    "<=" => Comparator::LessOrEqual,
                    ">" => Comparator::Greater,
                    ">=" => Comparator::GreaterOrEqual,
                    _ => return Err(self.unexpected()),
                };
                Ok(Condition::Compare(left, comparator, self.operand()?))
            }
        }
    }

    fn argument(&mut self) -> Result<String, ApiError> {
        self.next();
        self.expect("(")?;
        let path = self.path()?;
        self.expect(")")?;
        Ok(path)
    }

    fn arguments(&mut self) -> Result<(Operand, Operand), ApiError> {
        self.next();
        self.expect("(")?;
        let left = self.operand()?;
        self.expect(",")?;
        let right = self.operand()?;
        self.expect(")")?;
        Ok((left, right))
    }

    pub(super) fn update(mut self) -> Result<Update, ApiError> {
        let mut update = Update::default();
        while self.at < self.tokens.len() {
            match self.next().to_ascii_uppercase().as_str() {
                "SET" => self.clause(|parser| {
                    let path = parser.path()?;
                    parser.expect("=")?;
                    let operand = parser.set_operand()?;
                    update.set.push((path, operand));
                    Ok(())
                })?,
                "REMOVE" => self.clause(|parser| {
                    update.remove.push(parser.path()?);
                    Ok(())
                })?,
                "ADD" => self.clause(|parser| {
                    let path = parser.path()?;
                    update.add.push((path, parser.value()?));
                    Ok(())
                })?,
                _ => return Err(self.unexpected()),
            }
        }
        Ok(update)
    }

    fn clause(&mut self, mut one: impl FnMut(&mut Self) -> Result<(), ApiError>) -> Result<(), ApiError> {
        one(self)?;
        while self.takes(",") {
            one(self)?;
        }
        Ok(())
    }

    fn set_operand(&mut self) -> Result<Operand, ApiError> {
        let left = self.set_term()?;
        if self.takes("+") {
            return Ok(Operand::Plus(Box::new(left), Box::new(self.set_term()?)));
        }
        if self.takes("-") {
            return Ok(Operand::Minus(Box::new(left), Box::new(self.set_term()?)));
        }
        Ok(left)
    }

    fn set_term(&mut self) -> Result<Operand, ApiError> {
        let function = self.peek().to_owned();
        if !matches!(function.as_str(), "if_not_exists" | "list_append") {
            return self.operand();
        }
        self.next();
        self.expect("(")?;
        let term = if function == "if_not_exists" {
            let path = self.path()?;
            self.expect(",")?;
            Operand::IfNotExists(path, Box::new(self.operand()?))
        } else {
            let left = self.set_term()?;
            self.expect(",")?;
            Operand::ListAppend(Box::new(left), Box::new(self.set_term()?))
        };
        self.expect(")")?;
        Ok(term)
    }

    /// The partition, and the lowest and highest sort key.
    pub(super) fn key_condition(mut self) -> Result<(String, String, String), ApiError> {
        let text = |value: Value| value["S"].as_str().map(str::to_owned).ok_or_else(|| ApiError::validation("key values are strings"));
        if self.path()? != "pk" {
            return Err(ApiError::validation("Query condition missed key schema element: pk"));
        }
        self.expect("=")?;
        let pk = text(self.value()?)?;
        let (mut from, mut to) = (String::new(), "\u{10ffff}".to_owned());
        if self.takes("AND") {
            if self.takes("begins_with") {
                self.expect("(")?;
                self.path()?;
                self.expect(",")?;
                from = text(self.value()?)?;
                self.expect(")")?;
                to = format!("{from}\u{10ffff}");
            } else {
                self.path()?;
                if self.takes("BETWEEN") {
                    from = text(self.value()?)?;
                    self.expect("AND")?;
                    to = text(self.value()?)?;
                } else if self.takes("<=") {
                    to = text(self.value()?)?;
                } else if self.takes(">=") {
                    from = text(self.value()?)?;
                } else {
                    return Err(ApiError::not_simulated("this key condition"));
                }
            }
        }
        self.end((pk, from, to))
    }
}

/// Words that DynamoDB refuses as bare attribute names, of those that a ledger might be tempted to
/// use (developer guide, "Reserved words in DynamoDB").
const RESERVED: &[&str] = &[
    "action",
    "all",
    "batch",
    "capacity",
    "condition",
    "count",
    "counter",
    "current",
    "cursor",
    "data",
    "date",
    "domain",
    "duration",
    "end",
    "error",
    "final",
    "format",
    "grant",
    "hash",
    "hold",
    "index",
    "item",
    "items",
    "key",
    "keys",
    "last",
    "level",
    "limit",
    "list",
    "lock",
    "log",
    "map",
    "max",
    "member",
    "min",
    "mode",
    "name",
    "names",
    "new",
    "next",
    "number",
    "offset",
    "open",
    "order",
    "owner",
    "partition",
    "path",
    "position",
    "query",
    "range",
    "rank",
    "read",
    "record",
    "reference",
    "region",
    "release",
    "request",
    "response",
    "result",
    "rule",
    "sample",
    "schema",
    "segment",
    "sequence",
    "session",
    "set",
    "shard",
    "size",
    "source",
    "start",
    "state",
    "status",
    "sum",
    "table",
    "text",
    "time",
    "timestamp",
    "token",
    "total",
    "transaction",
    "ttl",
    "type",
    "unknown",
    "until",
    "update",
    "url",
    "usage",
    "user",
    "users",
    "uuid",
    "value",
    "values",
    "view",
    "wait",
    "window",
    "work",
    "write",
    "year",
    "zone",
];
