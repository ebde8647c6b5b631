import Checkpoints
import Passes

/// The report of one or several results as one page: no scripts, and nothing to load from elsewhere.
package struct ReportPage: Sendable {
  private let results: [NamedResult]

  /// Takes results.
  ///
  /// - Parameter results: At least one, in the order of the page.
  package init(_ results: [ReportedResult]) {
    precondition(!results.isEmpty, "there is no result to report")
    self.results = NamedResult.all(results)
  }

  private var title: String {
    results.count == 1
      ? "\(results[0].name): conversion report" : "\(results.count) conversions compared"
  }

  /// The page as HTML that is also well-formed XML.
  package var html: String {
    "<!DOCTYPE html>\n"
      + HTMLNode.tag(
        "html", ["lang": "en", "xmlns": "http://www.w3.org/1999/xhtml"],
        [head, .tag("body", [:], [header, main, footer])]
      ).html + "\n"
  }

  private var head: HTMLNode {
    .tag(
      "head", [:],
      [
        .tag("meta", ["charset": "utf-8"]),
        .tag("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
        .tag("title", [:], [.text(title)]), .tag("style", [:], [.markup(PageStyle.css)]),
      ])
  }

  private var header: HTMLNode {
    .tag("header", [:], [.tag("h1", [:], [.text(title)]), navigation])
  }

  private var navigation: HTMLNode {
    let targets =
      [(KeyFigures.id, KeyFigures.title)]
      + (results.count == 1
        ? sections(of: results[0]).map { ($0.id, $0.title) }
        : [(ComparedCurves.id, ComparedCurves.title), (ComparedErrors.id, ComparedErrors.title)]
          + results.map { ($0.id, $0.name) })
    let links = targets.map { target in
      HTMLNode.tag("li", [:], [.tag("a", ["href": "#\(target.0)"], [.text(target.1)])])
    }
    return .tag("nav", ["aria-label": "Sections"], [.tag("ul", [:], links)])
  }

  private var main: HTMLNode {
    let figures = KeyFigures(results: results).section.node(level: 2)
    guard results.count > 1 else {
      return .tag("main", [:], [figures] + sections(of: results[0]).map { $0.node(level: 2) })
    }
    let compared = [ComparedCurves(results: results).section, ComparedErrors(results: results).section]
    return .tag("main", [:], [figures] + compared.map { $0.node(level: 2) } + results.map(article))
  }

  /// A result below a heading of its own.
  private func article(_ result: NamedResult) -> HTMLNode {
    .tag(
      "article", ["id": result.id],
      [.tag("h2", [:], [.text(result.name)])]
        + sections(of: result).map { $0.node(level: 3, prefix: result.id + "-") })
  }

  private func sections(of result: NamedResult) -> [PageSection] {
    let reported = result.result
    let conversion = reported.conversion
    return [
      InputSection(result: conversion).section, PassesSection(result: conversion).section,
      CurveSection(result: conversion).section, ErrorSection(result: reported).section,
      TableSection(result: reported).section, SizeSection(result: conversion).section,
      QualitySection(result: reported).section, MergeSection(result: conversion).section,
      ContinuationSection(result: conversion).section, CostSection(result: conversion).section,
      LoadingSection(result: conversion).section,
    ]
  }

  private var footer: HTMLNode {
    let versions = Set(results.compactMap { $0.result.conversion.record?.version }).sorted()
    let made = versions.isEmpty ? "" : " of results of rilq \(versions.alternatives(joinedBy: "and"))"
    return .tag("footer", [:], [.paragraph("Made by rilq report \(Pipeline.version)\(made).")])
  }
}

/// A result with a name that no other result of the page has.
struct NamedResult: Sendable {
  /// The name that links in the page refer to.
  let id: String
  /// The name in headings and legends.
  let name: String
  /// The result.
  let result: ReportedResult

  /// Names results by the last part of their outputs' paths, and by their place where that is not unique.
  static func all(_ results: [ReportedResult]) -> [NamedResult] {
    var counts: [String: Int] = [:]
    for result in results { counts[result.conversion.name, default: 0] += 1 }
    return results.enumerated().map { index, result in
      let name = result.conversion.name
      return NamedResult(
        id: "result-\(index + 1)",
        name: counts[name] == 1 ? name : "\(name) (\(index + 1))", result: result)
    }
  }
}
