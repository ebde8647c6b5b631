import Passes

/// A table of coloured cells: layers from top to bottom, kinds of linears from left to right.
struct HeatMap {
  private static let left = 46.0
  private static let legendHeight = 58.0

  /// The title for those who do not see the image.
  let title: String
  /// What the colours mean, with the unit.
  let unit: String
  /// The values, at least one.
  let grid: ErrorGrid

  private var range: ClosedRange<Double> { grid.range ?? 0...1 }
  private var rowHeight: Double { grid.layers.count > 48 ? 8 : 12 }
  private var columnWidth: Double { min(38, max(22, 270 / Double(max(grid.kinds.count, 1)))) }
  private var names: [String] { grid.kinds.map(Self.shortened) }
  /// Room for the names, which are turned by 45 degrees.
  private var top: Double { 36 + 4.8 * Double(names.map(\.count).max() ?? 0) }
  private var right: Double { Self.left + columnWidth * Double(grid.kinds.count) }
  private var bottom: Double { top + rowHeight * Double(grid.layers.count) }

  /// The chart as an image.
  var node: HTMLNode {
    // The last name leans out to the right.
    let width = max(right + 4.8 * Double(names.last?.count ?? 0) + 8, Self.left + 220)
    return .scrolling(
      title,
      SVG.image(
        width: width, height: bottom + Self.legendHeight, title: title, description: description,
        isScaled: false, columnLabels + rowLabels + cells + legend))
  }

  private var description: String {
    "Rows are layers \(grid.layers.first ?? 0) to \(grid.layers.last ?? 0), columns are "
      + "\(grid.kinds.joined(separator: ", ")). Values go from \(range.lowerBound.formattedShort) to "
      + "\(range.upperBound.formattedShort). The table below has all of them."
  }

  private var columnLabels: [HTMLNode] {
    names.enumerated().map { index, name in
      SVG.label(
        name, x: Self.left + columnWidth * (Double(index) + 0.5), y: top - 6, turn: -45)
    }
  }

  private var rowLabels: [HTMLNode] {
    let step = [1, 2, 5, 10, 20, 50].first { Double($0) * rowHeight >= 14 } ?? 100
    let rows = grid.layers.enumerated().filter { $0.offset % step == 0 }
    return [SVG.label("layer", x: 4, y: top - 6)]
      + rows.map { index, layer in
        SVG.label(
          String(layer), x: Self.left - 6, y: top + rowHeight * (Double(index) + 0.5) + 4, anchor: "end")
      }
  }

  private var cells: [HTMLNode] {
    grid.values.enumerated().flatMap { row, values in
      values.enumerated().map { column, value in
        cell(row: row, column: column, value)
      }
    }
  }

  private func cell(row: Int, column: Int, _ value: Double?) -> HTMLNode {
    var attributes = [
      (name: "x", value: (Self.left + columnWidth * Double(column)).pixels),
      (name: "y", value: (top + rowHeight * Double(row)).pixels),
      (name: "width", value: (columnWidth - 1).pixels), (name: "height", value: (rowHeight - 1).pixels),
    ]
    guard let value else { return .element("rect", attributes + [(name: "class", value: "empty")], []) }
    attributes.append((name: "fill", value: color(of: value)))
    let tip = "layer \(grid.layers[row]), \(grid.kinds[column]): \(value.formattedShort)"
    return .element("rect", attributes, [.tag("title", [:], [.text(tip)])])
  }

  private var legend: [HTMLNode] {
    let (steps, width) = (40, 200.0)
    let bars = (0..<steps).map { step in
      HTMLNode.tag(
        "rect",
        [
          "x": (Self.left + width * Double(step) / Double(steps)).pixels, "y": (bottom + 14).pixels,
          "width": (width / Double(steps) + 0.3).pixels, "height": "10",
          "fill": Self.color(at: Double(step) / Double(steps - 1)),
        ])
    }
    return bars + [
      SVG.label(range.lowerBound.formattedShort, x: Self.left, y: bottom + 40),
      SVG.label(range.upperBound.formattedShort, x: Self.left + width, y: bottom + 40, anchor: "end"),
      SVG.label(unit, x: Self.left, y: bottom + 54),
    ]
  }

  private func color(of value: Double) -> String {
    let length = range.upperBound - range.lowerBound
    return Self.color(at: length > 0 ? (value - range.lowerBound) / length : 0)
  }

  /// The colours of viridis at equal distances, which grow lighter evenly.
  private static let colors: [(Double, Double, Double)] = [
    (68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37),
  ]

  /// Returns the colour of a share between 0 and 1.
  static func color(at share: Double) -> String {
    let position = min(max(share.isNaN ? 0 : share, 0), 1) * Double(colors.count - 1)
    let index = min(Int(position), colors.count - 2)
    let (a, b, t) = (colors[index], colors[index + 1], position - Double(index))
    func mixed(_ x: Double, _ y: Double) -> Int { Int((x + (y - x) * t).rounded()) }
    return "rgb(\(mixed(a.0, b.0)),\(mixed(a.1, b.1)),\(mixed(a.2, b.2)))"
  }

  /// Returns the last part of a kind's name, or the last two where the last is only a star.
  private static func shortened(_ kind: String) -> String {
    let parts = kind.split(separator: ".")
    return parts.last { $0 != "*" }.map(String.init) ?? kind
  }
}
