#!/usr/bin/env python3
"""Writes the manual pages of rilq: rilq.1, and rilq-COMMAND.1 for each command.

Everything comes from what the program says about itself, so a page lists what the help lists. The pages use the
macros of man(7). The date is that of SOURCE_DATE_EPOCH, or today. Only the standard library is needed.
usage: man-pages.py HELP.json VERSION FOLDER   (HELP.json: the output of rilq --experimental-dump-help)
"""
import json
import os
import re
import sys
import time

def text(words):
    """Text for roff: its special characters, and hyphens of options, which must stay hyphens when copied."""
    words = words.replace("\\", "\\e").replace("'", "\\(aq")
    words = re.sub(r"(?<![\w-])--?(?=[\w])", lambda dashes: "\\-" * len(dashes.group()), words)
    # A full stop at the beginning of a line would be a request.
    return re.sub(r"^\.", r"\\&.", words, flags=re.MULTILINE)


def literal(words):
    """What is typed as it stands: all hyphens stay hyphens."""
    return words.replace("\\", "\\e").replace("'", "\\(aq").replace("-", "\\-")


def bold(words):
    return "\\fB" + literal(words) + "\\fR"


def italic(words):
    return "\\fI" + text(words) + "\\fR"


def shown(items):
    return [item for item in items if item["shouldDisplay"]]


def spelling(name):
    return ("-" if name["kind"] in ("short", "longWithSingleDash") else "--") + name["name"]


def repeated(argument):
    return "\\|.\\|.\\|." if argument["isRepeating"] else ""


def option_names(option):
    """The names of an option, short ones first, and its value."""
    names = ", ".join(bold(spelling(name)) for name in sorted(option["names"], key=lambda n: n["kind"] != "short"))
    return names if option["kind"] == "flag" else names + " " + italic(option["valueName"])


def positional(argument):
    name = italic(argument["valueName"]) + repeated(argument)
    return "[" + name + "]" if argument["isOptional"] else name


def described(argument):
    lines = [argument.get("abstract", "")]
    if "defaultValue" in argument:
        lines[0] += " (default: " + argument["defaultValue"] + ")"
    if "discussion" in argument:
        lines.append(argument["discussion"])
    return text(" ".join(lines).strip())


def entries(arguments, name):
    lines = []
    for argument in arguments:
        lines += [".TP", name(argument), described(argument)]
    return lines


def exit_codes(discussion):
    """The codes and their meanings in 'Exit codes: 0 done; 1 a check failed.'"""
    title, codes = discussion.split(": ", 1)
    if title != "Exit codes":
        sys.exit("man-pages.py: the program's help does not begin with its exit codes")
    for entry in codes.rstrip(".").split("; "):
        code, meaning = entry.split(" ", 1)
        yield code, meaning[0].upper() + meaning[1:] + "."


def header(title, date, version):
    return ['.TH "%s" "1" "%s" "rilq %s" "User Commands"' % (title.upper(), date, version)]


def of_command(command, date, version):
    name = "rilq-" + command["commandName"]
    arguments = shown(command["arguments"])
    positionals = [a for a in arguments if a["kind"] == "positional"]
    abstract = command["abstract"].rstrip(".")
    lines = header(name, date, version)
    lines += [".SH NAME", literal(name) + " \\- " + text(abstract[0].lower() + abstract[1:])]
    usage = [bold("rilq " + command["commandName"]), "[" + italic("options") + "]"]
    lines += [".SH SYNOPSIS", " ".join(usage + [positional(a) for a in positionals])]
    description = [text(command["abstract"])]
    if "discussion" in command:
        description += [".PP", text(command["discussion"])]
    lines += [".SH DESCRIPTION"] + description
    if positionals:
        lines += [".SH ARGUMENTS"] + entries(positionals, lambda a: italic(a["valueName"]) + repeated(a))
    options = [a for a in arguments if a["kind"] != "positional"]
    sections = {}
    for option in options:
        sections.setdefault(option.get("sectionTitle", "Options"), []).append(option)
    for title, members in sections.items():
        lines += [".SH " + text(title.upper())] + entries(members, option_names)
    lines += [".SH EXIT STATUS", "As described in", ".BR rilq (1).", ".SH SEE ALSO", ".BR rilq (1)"]
    return name, lines


def of_program(program, commands, date, version):
    lines = header("rilq", date, version)
    abstract = program["abstract"].rstrip(".")
    lines += [".SH NAME", "rilq \\- " + text(abstract[0].lower() + abstract[1:])]
    lines += [".SH SYNOPSIS", bold("rilq") + " " + italic("command") + " [" + italic("options") + "]"]
    lines += [".SH DESCRIPTION", text(program["abstract"]) + " Each command has a page of its own."]
    lines += [".SH COMMANDS"]
    for command in commands:
        lines += [".TP", ".BR rilq\\-" + literal(command["commandName"]) + " (1)", text(command["abstract"])]
    lines += [".SH OPTIONS"] + entries(shown(program["arguments"]), option_names)
    lines += [".SH EXIT STATUS"]
    for code, meaning in exit_codes(program["discussion"]):
        lines += [".TP", bold(code), text(meaning)]
    lines += [".SH SEE ALSO", "Guides, formats and recipes are installed beside the README of the program."]
    return "rilq", lines


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, version, folder = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        program = json.load(file)["command"]
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    commands = [c for c in shown(program["subcommands"]) if c["commandName"] != "help"]
    pages = [of_program(program, commands, date, version)] + [of_command(c, date, version) for c in commands]
    os.makedirs(folder, exist_ok=True)
    for name, lines in pages:
        with open(os.path.join(folder, name + ".1"), "w", encoding="utf-8") as page:
            page.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
