import Passes

/// Bars over a horizontal axis; the vertical axis has shares in percent.
struct BarChart {
  private static let width = 440.0
  private static let height = 260.0
  private static let area = (left: 62.0, right: 428.0, top: 30.0, bottom: 206.0)

  /// The title for those who do not see the image.
  let title: String
  /// The image in words.
  let description: String
  /// The text below the horizontal axis, with its unit.
  let xLabel: String
  /// The text above the vertical axis.
  let yLabel: String
  /// The ends of each bar on the horizontal axis, and its share of all values.
  let bars: [(from: Double, to: Double, share: Double)]
  /// The ticks of the horizontal axis; nil for round numbers.
  var xTicks: [(value: Double, label: String)]?

  /// The chart as an image.
  var node: HTMLNode {
    let area = Self.area
    let x = PlotAxis(
      covering: bars.flatMap { [$0.from, $0.to] }, from: area.left, to: area.right, ticks: xTicks)
    let y = PlotAxis(
      covering: [0] + bars.map { 100 * $0.share }, from: area.bottom, to: area.top, isRounded: true)
    var children: [HTMLNode] = []
    for tick in y.ticks {
      let position = y.position(of: tick.value)
      children.append(SVG.gridLine(from: (area.left, position), to: (area.right, position)))
      children.append(SVG.label(tick.label, x: area.left - 8, y: position + 4, anchor: "end"))
    }
    for tick in x.ticks {
      let position = x.position(of: tick.value)
      children.append(SVG.gridLine(from: (position, area.bottom), to: (position, area.bottom + 5)))
      children.append(SVG.label(tick.label, x: position, y: area.bottom + 20, anchor: "middle"))
    }
    children.append(
      SVG.label(xLabel, x: (area.left + area.right) / 2, y: area.bottom + 42, anchor: "middle"))
    children.append(SVG.label(yLabel, x: area.left, y: area.top - 10))
    children += bars.map { bar -> HTMLNode in
      let (left, right) = (x.position(of: bar.from), x.position(of: bar.to))
      let top = y.position(of: 100 * bar.share)
      return .tag(
        "rect",
        [
          "class": "bar", "x": (left + 0.5).pixels, "y": top.pixels,
          "width": max(right - left - 1, 0.5).pixels, "height": (area.bottom - top).pixels,
        ])
    }
    return SVG.image(
      width: Self.width, height: Self.height, title: title, description: description, children)
  }
}
