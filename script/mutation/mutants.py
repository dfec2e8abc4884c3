"""What a mutant is: one line of a file, changed in one place."""
import collections
import re

from mutation.switches import blanked


def closing(code, opening):
    """The column behind the parenthesis that closes the one at `opening`; None if that is on another line."""
    depth = 0
    for column in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[column], 0)
        if depth == 0:
            return column + 1
    return None


SKIPPED = re.compile(r"^\s*(#|template\b|using\b|typedef\b|static_assert\b|assert\b|friend\b|class\b|struct\b|enum\b|namespace\b|requires\b|case\b|default\b)")
CALL = re.compile(r"^\s*(?:\(void\))?(?!return\b|throw\b|else\b|delete\b|co_\w+\b|if\b|for\b|while\b|switch\b|do\b|catch\b)[\w:\.\[\]\*\(]*(?:->[\w:\.\[\]]+)*(?:<[^;()]*>)?\(.*\);\s*$")
ASSIGNMENT = re.compile(r"^\s*\*?[\w\.\[\]]+(?:->[\w\.\[\]]+)*(?:\([^()]*\)\.\w+)? [-+*|&]?= [^=].*;\s*$")
STEP = re.compile(r"^\s*(\+\+|--)[^;]*;\s*$")
WEAKER = {"acq_rel": ["acquire", "release"], "acquire": ["relaxed"], "release": ["relaxed"]}
COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}


def mutants_of_line(line, code):
    """Yields (what, new line)."""
    stripped = code.strip()
    if not stripped or SKIPPED.match(code):
        return
    indent = line[: len(line) - len(line.lstrip())]

    def with_replaced(start, end, text):
        return line[:start] + text + line[end:]

    # statements
    declares = re.match(r"^\s*(const|auto|constexpr|std::\w+|static|mutable|virtual|explicit|inline|extern|~?\w+\(\w+[&*]* \w+)\b", code) or re.search(
        r"\)\s*(const)?\s*(noexcept)?\s*(override|PENSTOCK_\w+\(.*\)|= (default|delete|0))\s*;$", stripped)
    if (CALL.match(code) or ASSIGNMENT.match(code)) and not declares:
        yield "dropped", indent + ";"
    if STEP.match(code):
        yield "dropped", indent + ";"
    inner = re.match(r"^(\s*(?:else )?if \(.*\) )((?:\+\+|--)?[\w\.]+(?:->\w+)*(?:\(.*\)|(?: [-+|&]?= [^;]*))?;)\s*$", code)
    if inner and not re.match(r"(return|throw|break|continue)\b", inner.group(2)):
        yield "dropped after if", line[: inner.end(1)] + ";"
    # memory orders
    for m in re.finditer(r"memory_order_(acq_rel|acquire|release|seq_cst)", code):
        weaker = WEAKER.get(m.group(1))
        if weaker is None:
            before = code[: m.start()]
            weaker = ["acquire"] if before.rstrip().endswith((".load(std::", "->load(std::")) else ["release"] if re.search(r"store\([^()]*$", before) else ["acq_rel"]
        for order in weaker:
            yield f"{m.group(1)} weakened to {order}", with_replaced(m.start(1), m.end(1), order)
    for m in re.finditer(r"(?:\.|->)load\(()\)", code):
        yield "seq_cst weakened to acquire", with_replaced(m.start(1), m.end(1), "std::memory_order_acquire")
    # numbers
    for m in re.finditer(r" (<=|>=|==|!=|<|>) ", code):
        if not re.search(r"\boperator\s*$", code[: m.start() + 1]):
            yield f"{m.group(1)} to {COMPARISONS[m.group(1)]}", with_replaced(m.start(1), m.end(1), COMPARISONS[m.group(1)])
    for m in re.finditer(r" ([-+]) 1\b(?![.\d])", code):
        yield f"{m.group(1)} 1 dropped", with_replaced(m.start(), m.end(), "")
    for m in re.finditer(r"(?<![\w)\]])(\+\+|--)(?=\w)", code):
        if not STEP.match(code):
            yield f"{m.group(1)} dropped", with_replaced(m.start(), m.end(), "")
    # conditions
    for m in re.finditer(r"\b(if|while) \(", code):
        end = closing(code, m.end() - 1)
        if end is None:
            continue
        condition = line[m.end(): end - 1]
        if ";" in condition or re.search(r"\w[&*]* \w+ = ", condition):  # declares something
            continue
        if m.group(1) == "while":
            if not stripped.startswith("}"):
                yield "while to if", with_replaced(m.start(), m.start() + 5, "if")
            yield "while (false)", with_replaced(m.end(), end - 1, "false && (" + condition + ")")
        else:
            yield "if (true)", with_replaced(m.end(), end - 1, "true || (" + condition + ")")
            yield "if (false)", with_replaced(m.end(), end - 1, "false && (" + condition + ")")
        if not re.fullmatch(r"[^&|]* (==|!=) [^&|]*", condition):  # else it is the comparison above
            yield "negated", with_replaced(m.end(), end - 1, "!(" + condition + ")")
    if "requires" not in code:
        for m in re.finditer(r" (&&|\|\|) ", code):
            other = "||" if m.group(1) == "&&" else "&&"
            yield f"{m.group(1)} to {other}", with_replaced(m.start(1), m.end(1), other)
    for m in re.finditer(r"\breturn (true|false);", code):
        other = "false" if m.group(1) == "true" else "true"
        yield f"return {other}", with_replaced(m.start(1), m.end(1), other)


Mutant = collections.namedtuple("Mutant", "path line what old new")


def mutants_of(path, tree):
    text = (tree / path).read_text()
    for number, (line, code) in enumerate(zip(text.split("\n"), blanked(text).split("\n")), 1):
        for what, new in mutants_of_line(line, code):
            if new != line:
                yield Mutant(path, number, what, line, new)
