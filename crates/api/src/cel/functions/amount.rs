//! Quantities, represented by their canonical texts, and the comparisons of quantities and of versions.

use std::cmp::Ordering;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, ExecutionError, Value};
use palisade_k8s::quantity;

use super::{Outcome, fails, version};

const BILLION: i128 = 1_000_000_000;

pub(super) fn add(context: &mut Context<'_, '_>) {
    let _ = context.add_function("isQuantity", |text: Arc<String>| quantity::is_valid(&text));
    let _ = context.add_function("quantity", |text: Arc<String>| -> Outcome {
        read("quantity", &text).map(|amount| amount.shown())
    });
    compare(context);
    calculate(context);
    convert(context);
}

/// A quantity: in billionths, and a text of the same kind of unit.
struct Amount<'t> {
    billionths: i128,
    like: &'t str,
}

impl Amount<'_> {
    fn shown(&self) -> Value {
        quantity::written(self.billionths, self.like).into()
    }

    fn integer(&self) -> Option<i64> {
        (self.billionths % BILLION == 0).then(|| i64::try_from(self.billionths / BILLION).ok())?
    }
}

fn read<'t>(function: &str, text: &'t str) -> Result<Amount<'t>, ExecutionError> {
    let billionths = quantity::billionths(text);
    let billionths =
        billionths.ok_or_else(|| fails(function, format!("quantity {text:?} cannot be read")))?;
    Ok(Amount { billionths, like: text })
}

fn compare(context: &mut Context<'_, '_>) {
    let order = |function: &'static str| {
        move |one: &str, other: &str| -> Result<Ordering, ExecutionError> {
            // No quantity has the form of a version.
            if let Some(order) = version::order(one, other) {
                return Ok(order);
            }
            Ok(read(function, one)?.billionths.cmp(&read(function, other)?.billionths))
        }
    };
    for (name, wanted) in [("isLessThan", Ordering::Less), ("isGreaterThan", Ordering::Greater)] {
        let order = order(name);
        let is = move |This(this): This<Arc<String>>, other: Arc<String>| -> Outcome {
            Ok(Value::Bool(order(&this, &other)? == wanted))
        };
        let _ = context.add_function(name, is);
    }
    let order = order("compareTo");
    let compared = move |This(this): This<Arc<String>>, other: Arc<String>| -> Outcome {
        Ok(Value::Int(order(&this, &other)? as i64))
    };
    let _ = context.add_function("compareTo", compared);
}

/// `add` and `sub` take a quantity or an integer.
fn calculate(context: &mut Context<'_, '_>) {
    for (name, sign) in [("add", 1), ("sub", -1)] {
        let total = move |This(this): This<Arc<String>>, other: Value| -> Outcome {
            let this = read(name, &this)?;
            let other = match &other {
                Value::String(text) => read(name, text)?.billionths,
                Value::Int(number) => i128::from(*number) * BILLION,
                _ => return Err(fails(name, "no such overload")),
            };
            let total = other.checked_mul(sign).and_then(|other| this.billionths.checked_add(other));
            let billionths = total.ok_or_else(|| fails(name, "quantity overflow"))?;
            Ok(Amount { billionths, ..this }.shown())
        };
        let _ = context.add_function(name, total);
    }
}

fn convert(context: &mut Context<'_, '_>) {
    let _ = context.add_function("asApproximateFloat", |This(this): This<Arc<String>>| -> Outcome {
        read("asApproximateFloat", &this).map(|amount| Value::Float(amount.billionths as f64 / 1e9))
    });
    let _ = context.add_function("isInteger", |This(this): This<Arc<String>>| -> Outcome {
        read("isInteger", &this).map(|amount| Value::Bool(amount.integer().is_some()))
    });
    let _ = context.add_function("asInteger", |This(this): This<Arc<String>>| -> Outcome {
        let integer = read("asInteger", &this)?.integer();
        integer.map(Value::Int).ok_or_else(|| fails("asInteger", "cannot convert value to integer"))
    });
    let _ = context.add_function("sign", |This(this): This<Arc<String>>| -> Outcome {
        Ok(Value::Int(read("sign", &this)?.billionths.signum() as i64))
    });
}
