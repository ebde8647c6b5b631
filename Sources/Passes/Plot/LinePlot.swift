import Checkpoints
import Foundation
import Models

/// Lines over two axes, as an SVG image that is readable on light and dark backgrounds.
package struct LinePlot: Sendable {
  /// Points joined by a line.
  package struct Series: Sendable {
    /// The text in the legend.
    package let name: String
    /// The points from left to right; points outside the range of an axis are left out.
    package let points: [(x: Double, y: Double)]
    /// Whether each point has a dot.
    package let hasMarkers: Bool

    /// Joins a name with points.
    package init(name: String, points: [(x: Double, y: Double)], hasMarkers: Bool = false) {
      self.name = name
      self.points = points.filter { PlotAxis.reaches($0.x) && PlotAxis.reaches($0.y) }
      self.hasMarkers = hasMarkers
    }
  }

  /// Where a plot stands, which decides its size and what it says itself.
  package enum Place: Sendable {
    /// In a file of its own, with title, legend and style.
    case file
    /// In a page that has title, legend and style; as wide as a phone.
    case page
  }

  /// The colours of Okabe and Ito, which colour-blind readers can distinguish; none is near black or white.
  package static let colors = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#888888"]
  private static let style = """
    text{font:13px sans-serif;fill:#333}.title{font-size:15px}.grid{stroke:#ccc;stroke-width:1}\
    .line{fill:none;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#555}}
    """
  private let place: Place
  private let area: PlotArea
  private let title: String
  private let xLabel: String
  private let yLabel: String
  private let series: [Series]
  private let x: PlotAxis
  private let y: PlotAxis

  /// Arranges a plot.
  ///
  /// - Parameters:
  ///   - title: The title of the plot.
  ///   - xLabel: The text below the horizontal axis.
  ///   - yLabel: The text above the vertical axis.
  ///   - series: The lines.
  ///   - xTicks: The ticks of the horizontal axis; nil for round numbers.
  ///   - beginsAtZero: Whether the vertical axis begins at zero, or at a round number below the smallest
  ///     value.
  ///   - place: Where the plot stands.
  package init(
    title: String, xLabel: String, yLabel: String, series: [Series],
    xTicks: [(value: Double, label: String)]? = nil, beginsAtZero: Bool = true, in place: Place = .file
  ) {
    let area = PlotArea(place)
    self.place = place
    self.area = area
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.series = series
    let points = series.flatMap(\.points)
    x = PlotAxis(
      covering: points.map(\.x) + (xTicks ?? []).map(\.value), from: area.left, to: area.right,
      ticks: xTicks)
    y = PlotAxis(
      covering: (beginsAtZero ? [0] : []) + points.map(\.y), from: area.bottom, to: area.top,
      isRounded: true)
  }

  /// The image as an SVG document, for a file.
  package var svg: String {
    let (width, height) = (width.pixels, area.height.pixels)
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\""
        + " viewBox=\"0 0 \(width) \(height)\" role=\"img\">",
      "<title>\(title.escapedForXML)</title>", "<style>\(Self.style)</style>",
      text(title, x: area.left, y: 20, attributes: " class=\"title\""),
    ]
    lines += gridLines
    for (index, series) in series.enumerated() {
      lines += elements(of: series, color: Self.color(index)) + legend(of: series, index)
    }
    return (lines + ["</svg>", ""]).joined(separator: "\n")
  }

  /// Returns the image as an SVG element of a page, which scales it and has the legend.
  ///
  /// - Parameter description: The plot in words.
  /// - Returns: The element; its classes are `grid` and `line`.
  package func element(description: String) -> String {
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(area.width.pixels) \(area.height.pixels)\""
        + " role=\"img\">",
      "<title>\(title.escapedForXML)</title>", "<desc>\(description.escapedForXML)</desc>",
    ]
    lines += gridLines
    for (index, series) in series.enumerated() { lines += elements(of: series, color: Self.color(index)) }
    return (lines + ["</svg>"]).joined(separator: "\n")
  }

  /// Returns the colour of a line.
  private static func color(_ index: Int) -> String { colors[index % colors.count] }

  /// Wide enough for the longest name beside the plot area.
  private var width: Double {
    let longest = series.map(\.name.count).max() ?? 0
    return max(area.width, area.right + 50 + 7.5 * Double(longest))
  }

  /// Writes the image.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - mayReplace: Whether an existing file is replaced.
  /// - Throws: `FormatError` when the path is occupied or cannot be written.
  package func write(to path: String, mayReplace: Bool = true) throws {
    try SideFile.write(svg, to: path, mayReplace: mayReplace)
  }

  private var gridLines: [String] {
    var lines: [String] = []
    for tick in y.ticks {
      let position = y.position(of: tick.value)
      lines.append(line(from: (area.left, position), to: (area.right, position)))
      lines.append(text(tick.label, x: area.left - 8, y: position + 4, attributes: " text-anchor=\"end\""))
    }
    for tick in x.ticks {
      let position = x.position(of: tick.value)
      lines.append(line(from: (position, area.bottom), to: (position, area.bottom + 5)))
      lines.append(
        text(tick.label, x: position, y: area.bottom + 20, attributes: " text-anchor=\"middle\""))
    }
    lines.append(
      text(
        xLabel, x: (area.left + area.right) / 2, y: area.bottom + 42, attributes: " text-anchor=\"middle\""))
    lines.append(text(yLabel, x: area.left, y: area.top - 8))
    return lines
  }

  private func elements(of series: Series, color: String) -> [String] {
    let points = series.points.map { (x: x.position(of: $0.x).pixels, y: y.position(of: $0.y).pixels) }
    var lines: [String] = []
    if points.count > 1 {
      let path = points.map { "\($0.x),\($0.y)" }.joined(separator: " ")
      lines.append("<polyline class=\"line\" stroke=\"\(color)\" points=\"\(path)\"/>")
    }
    if series.hasMarkers || points.count == 1 {
      lines += points.map { "<circle cx=\"\($0.x)\" cy=\"\($0.y)\" r=\"3.5\" fill=\"\(color)\"/>" }
    }
    return lines
  }

  private func legend(of series: Series, _ index: Int) -> [String] {
    let y = area.top + 8 + 22 * Double(index)
    return [
      "<rect x=\"\((area.right + 18).pixels)\" y=\"\((y - 6).pixels)\" width=\"16\" height=\"4\""
        + " fill=\"\(Self.color(index))\"/>",
      text(series.name, x: area.right + 42, y: y),
    ]
  }

  private func line(from start: (Double, Double), to end: (Double, Double)) -> String {
    "<line class=\"grid\" x1=\"\(start.0.pixels)\" y1=\"\(start.1.pixels)\" x2=\"\(end.0.pixels)\""
      + " y2=\"\(end.1.pixels)\"/>"
  }

  private func text(_ text: String, x: Double, y: Double, attributes: String = "") -> String {
    "<text x=\"\(x.pixels)\" y=\"\(y.pixels)\"\(attributes)>\(text.escapedForXML)</text>"
  }
}

/// The size of an image and the part of it that the axes enclose, in pixels.
private struct PlotArea: Sendable {
  let width: Double
  let height: Double
  let left: Double
  let right: Double
  let top: Double
  let bottom: Double

  init(_ place: LinePlot.Place) {
    switch place {
    case .file: (width, height, left, right, top, bottom) = (760, 440, 70, 610, 44, 384)
    case .page: (width, height, left, right, top, bottom) = (440, 300, 62, 428, 30, 246)
    }
  }
}

/// One axis: its range, its position in the image, and its ticks.
package struct PlotAxis: Sendable {
  private let values: ClosedRange<Double>
  private let start: Double
  private let end: Double
  /// The ticks with their labels.
  package let ticks: [(value: Double, label: String)]

  /// Creates an axis for values.
  ///
  /// - Parameters:
  ///   - all: The values to cover.
  ///   - start: The position of the smallest value in the image.
  ///   - end: The position of the largest value in the image.
  ///   - ticks: The ticks; nil for round numbers.
  ///   - isRounded: Whether the range is extended to round numbers at both ends.
  package init(
    covering all: [Double], from start: Double, to end: Double,
    ticks: [(value: Double, label: String)]? = nil, isRounded: Bool = false
  ) {
    self.start = start
    self.end = end
    let covered = all.filter(Self.reaches)
    var low = covered.min() ?? 0
    var high = covered.max() ?? 1
    let largest = max(abs(low), abs(high))
    // Keeps steps far above the spacing of doubles, so that the ticks are few and distinct.
    if high - low < max(largest * 1e-9, Self.leastSpan) { high = low + max(largest * 1e-6, 1) }
    let step = Self.roundStep(for: (high - low) / 5)
    if isRounded {
      low = (low / step + 1e-9).rounded(.down) * step
      high = (high / step - 1e-9).rounded(.up) * step
    }
    values = low...high
    // Adding zero avoids a tick labelled -0.
    let first = (low / step - 1e-9).rounded(.up) + 0
    let last = (high / step + 1e-9).rounded(.down)
    self.ticks =
      ticks
      ?? stride(from: first, through: last, by: 1).map { number in
        (value: number * step, label: Self.label(number * step, step: step))
      }
  }

  /// The smallest range that is drawn.
  private static let leastSpan = 1e-30

  /// Whether a value can be drawn: the difference of any two such values is finite.
  static func reaches(_ value: Double) -> Bool { abs(value) < 1e300 }

  /// Returns a tick's label, with enough decimals to differ from its neighbours.
  private static func label(_ value: Double, step: Double) -> String {
    guard step >= 1e-6, abs(value) < 1e9 else { return String(format: "%.10g", value) }
    return value.formatted(decimals: max(0, Int((-log10(step) - 1e-9).rounded(.up))))
  }

  /// Returns the smallest of 1, 2 and 5 times a power of ten that is at least a number.
  private static func roundStep(for length: Double) -> Double {
    let power = pow(10, log10(length).rounded(.down))
    return [1, 2, 5, 10].map { $0 * power }.first { $0 >= length * (1 - 1e-9) } ?? 10 * power
  }

  /// Returns the position of a value in the image.
  package func position(of value: Double) -> Double {
    start + (value - values.lowerBound) / (values.upperBound - values.lowerBound) * (end - start)
  }
}

extension Double {
  /// The coordinate with the decimals that a screen shows.
  fileprivate var pixels: String { formatted(decimals: 1) }
}
