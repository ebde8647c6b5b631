/// A part of a page with a heading.
struct PageSection {
  /// The name that links in the page refer to.
  let id: String
  /// The heading.
  let title: String
  /// What is below the heading.
  let body: [HTMLNode]

  /// Takes the contents of a section.
  init(_ id: String, _ title: String, _ body: [HTMLNode]) {
    self.id = id
    self.title = title
    self.body = body
  }

  /// Makes a section that says why it has nothing.
  static func absent(_ id: String, _ title: String, because reason: String) -> PageSection {
    PageSection(id, title, [.paragraph(reason, class: "absent")])
  }

  /// Returns the section as a node.
  ///
  /// - Parameters:
  ///   - level: The level of the heading, 2 for a section of the page.
  ///   - prefix: What makes the name unique in the page.
  /// - Returns: The node.
  func node(level: Int, prefix: String = "") -> HTMLNode {
    .tag("section", ["id": prefix + id], [.tag("h\(level)", [:], [.text(title)])] + body)
  }
}
