import Passes

/// A piece of a page.
///
/// Text and attributes are escaped when it is written, so nothing from a file becomes markup. Pages are HTML
/// that is also well-formed XML.
package indirect enum HTMLNode: Sendable {
  /// Text.
  case text(String)
  /// An element with its attributes in order.
  case element(String, [(name: String, value: String)], [HTMLNode])
  /// Markup that this program made: a style sheet or an image.
  case markup(String)

  /// Elements that end themselves; all others have an end tag.
  private static let voidElements: Set<String> = ["br", "meta", "rect", "line", "col"]

  /// The markup.
  package var html: String {
    var html = ""
    write(to: &html)
    return html
  }

  private func write(to html: inout String) {
    switch self {
    case .text(let text): html += text.escapedForXML
    case .markup(let markup): html += markup
    case .element(let name, let attributes, let children):
      html += "<" + name
      for attribute in attributes { html += " \(attribute.name)=\"\(attribute.value.escapedForXML)\"" }
      guard !Self.voidElements.contains(name) || !children.isEmpty else {
        html += "/>"
        return
      }
      html += ">"
      for child in children { child.write(to: &html) }
      html += "</\(name)>"
    }
  }
}

extension HTMLNode: ExpressibleByStringLiteral {
  package init(stringLiteral text: String) { self = .text(text) }
}

extension HTMLNode {
  /// Makes an element.
  ///
  /// - Parameters:
  ///   - name: The name of the element.
  ///   - attributes: Its attributes.
  ///   - children: What is in it.
  /// - Returns: The element.
  static func tag(
    _ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ children: [HTMLNode] = []
  ) -> HTMLNode {
    .element(name, attributes.map { (name: $0.key, value: $0.value) }, children)
  }

  /// Makes a paragraph.
  static func paragraph(_ text: String, class name: String? = nil) -> HTMLNode {
    .element("p", name.map { [(name: "class", value: $0)] } ?? [], [.text(text)])
  }

  /// Makes text in the font of code.
  static func code(_ text: String) -> HTMLNode { .tag("code", [:], [.text(text)]) }

  /// Makes a table whose first row and first column are headings.
  ///
  /// - Parameters:
  ///   - caption: What the table has, for those who do not see it.
  ///   - heads: The headings of the columns.
  ///   - rows: The cells, one array per row, as many as there are headings.
  /// - Returns: The table in a part of the page that scrolls by itself.
  static func table(_ caption: String, heads: [String], rows: [[String]]) -> HTMLNode {
    table(caption, heads: heads, rows: rows.map { $0.map { .text($0) } })
  }

  /// Makes a table of nodes.
  static func table(_ caption: String, heads: [String], rows: [[HTMLNode]]) -> HTMLNode {
    let head = HTMLNode.tag("tr", [:], heads.map { .tag("th", ["scope": "col"], [.text($0)]) })
    let body = rows.map { row in
      HTMLNode.tag(
        "tr", [:],
        row.enumerated().map { index, cell in
          index == 0 ? .tag("th", ["scope": "row"], [cell]) : .tag("td", [:], [cell])
        })
    }
    return .scrolling(
      caption,
      .tag(
        "table", [:],
        [.tag("caption", [:], [.text(caption)]), .tag("thead", [:], [head]), .tag("tbody", [:], body)]))
  }

  /// Puts something wide in a part of the page that scrolls by itself, also by keyboard.
  static func scrolling(_ label: String, _ content: HTMLNode) -> HTMLNode {
    .tag("div", ["class": "scroll", "role": "group", "aria-label": label, "tabindex": "0"], [content])
  }

  /// Makes something that opens on demand.
  static func details(_ summary: String, _ content: [HTMLNode]) -> HTMLNode {
    .tag("details", [:], [.tag("summary", [:], [.text(summary)])] + content)
  }

  /// Makes a picture with a caption and a legend.
  static func figure(_ caption: String, _ picture: HTMLNode, legend: [String] = []) -> HTMLNode {
    let entries = legend.enumerated().map { index, name in
      HTMLNode.tag(
        "li", [:], [.tag("span", ["class": "swatch s\(index % LinePlot.colors.count)"]), .text(name)])
    }
    let list: [HTMLNode] = entries.isEmpty ? [] : [.tag("ul", ["class": "legend"], entries)]
    return .tag("figure", [:], [.tag("figcaption", [:], [.text(caption)]), picture] + list)
  }

  /// Puts figures side by side where there is room.
  static func figures(_ figures: [HTMLNode]) -> HTMLNode { .tag("div", ["class": "figures"], figures) }
}
