//! A filter expression of DynamoDB with each attribute under a name that no word of DynamoDB's can meet: some 570 words,
//! `name` and `status` among them, may not stand in an expression as they are (developer guide, "Reserved words").
//!
//! It knows the grammar as far as to tell attributes from functions, operators and indices (developer guide, "Comparison
//! operator and function reference"). What is no expression stays none, and is DynamoDB's to refuse.

/// What stands between operands. In whatever case, no attribute is called so here.
const OPERATORS: [&str; 5] = ["and", "or", "not", "between", "in"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) expression: String,
    /// The names that stand in it, each with its attribute.
    pub(super) names: Vec<(String, String)>,
}

impl Filter {
    pub(super) fn of(text: &str) -> Self {
        let mut filter = Self { expression: String::with_capacity(text.len()), names: Vec::new() };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            // A placeholder of either kind is one word with its sign.
            let sign = if matches!(first, '#' | ':') { first.len_utf8() } else { 0 };
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let length = rest.get(sign..).map_or(0, |word| word.find(|c| !is_part(c)).unwrap_or(word.len()));
            let (word, after) = rest.split_at(if length == 0 { first.len_utf8() } else { sign + length });
            rest = after;
            let is_attribute = first.is_alphabetic() || first == '_';
            let is_function = after.trim_start().starts_with('(');
            let is_operator = OPERATORS.iter().any(|operator| word.eq_ignore_ascii_case(operator));
            if is_attribute && !is_function && !is_operator {
                filter.name(word);
            } else {
                filter.expression.push_str(word);
            }
        }
        filter
    }

    fn name(&mut self, attribute: &str) {
        let known = self.names.iter().find(|(_, known)| known == attribute).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let name = format!("#f{}", self.names.len());
            self.names.push((name.clone(), attribute.to_owned()));
            name
        });
        self.expression.push_str(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_has_a_name_and_nothing_else_has() {
        for (text, expression, names) in [
            ("attribute_not_exists(deleted_at)", "attribute_not_exists(#f0)", "deleted_at"),
            ("attribute_exists ( name ) AND NOT status = state", "attribute_exists ( #f0 ) AND NOT #f1 = #f2", "name status state"),
            ("a.b[0].status<>size(a.b)or a BETWEEN b AND c", "#f0.#f1[0].#f2<>size(#f0.#f1)or #f0 BETWEEN #f1 AND #f3", "a b status c"),
            ("NOT(status IN (a, b))", "NOT(#f0 IN (#f1, #f2))", "status a b"),
            ("begins_with(#mine, :value)", "begins_with(#mine, :value)", ""),
            ("\u{540d}\u{524d} = \"x\" #", "#f0 = \"#f1\" #", "\u{540d}\u{524d} x"),
        ] {
            let filter = Filter::of(text);
            let found: Vec<&str> = filter.names.iter().map(|(_, attribute)| attribute.as_str()).collect();
            assert_eq!((filter.expression.as_str(), found.join(" ").as_str()), (expression, names), "{text}");
        }
    }
}
