import Models

/// The elements of images.
enum SVG {
  /// Makes an image with its name and description for those who do not see it.
  ///
  /// - Parameters:
  ///   - width: The width in pixels.
  ///   - height: The height in pixels.
  ///   - title: The name of the image.
  ///   - description: The image in words.
  ///   - isScaled: Whether the page scales the image to the width that there is; otherwise it keeps its size.
  ///   - children: What is in the image.
  /// - Returns: The image.
  static func image(
    width: Double, height: Double, title: String, description: String, isScaled: Bool = true,
    _ children: [HTMLNode]
  ) -> HTMLNode {
    var attributes = [
      (name: "xmlns", value: "http://www.w3.org/2000/svg"),
      (name: "viewBox", value: "0 0 \(width.pixels) \(height.pixels)"), (name: "role", value: "img"),
    ]
    if !isScaled { attributes.append((name: "style", value: "width:\(width.pixels)px")) }
    return .element(
      "svg", attributes,
      [.tag("title", [:], [.text(title)]), .tag("desc", [:], [.text(description)])] + children)
  }

  /// Makes a line of the grid.
  static func gridLine(from start: (x: Double, y: Double), to end: (x: Double, y: Double)) -> HTMLNode {
    .tag(
      "line",
      [
        "class": "grid", "x1": start.x.pixels, "y1": start.y.pixels, "x2": end.x.pixels, "y2": end.y.pixels,
      ])
  }

  /// Makes a label.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - x: The position of its anchor.
  ///   - y: The position of its base line.
  ///   - anchor: Which part of the text is at the position: `start`, `middle` or `end`.
  ///   - turn: The angle in degrees.
  /// - Returns: The label.
  static func label(
    _ text: String, x: Double, y: Double, anchor: String = "start", turn: Double = 0
  ) -> HTMLNode {
    var attributes = [
      (name: "x", value: x.pixels), (name: "y", value: y.pixels), (name: "text-anchor", value: anchor),
    ]
    if turn != 0 {
      attributes.append((name: "transform", value: "rotate(\(turn.pixels) \(x.pixels) \(y.pixels))"))
    }
    return .element("text", attributes, [.text(text)])
  }
}

extension Double {
  /// The coordinate with the decimals that a screen shows.
  var pixels: String { formatted(decimals: 1) }
}
