"""Whether synthetic cases are any good: cases are measured, tables compare them with real ones, a report shows them."""
