import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct LinePlotTests {
  private func plot(_ points: [(x: Double, y: Double)], name: String = "a") -> String {
    LinePlot(
      title: "t", xLabel: "x", yLabel: "y", series: [LinePlot.Series(name: name, points: points)]
    ).svg
  }

  @Test func `points lie between the ends of the axes`() {
    // The area is 540 wide and 340 high, its lower left corner at 70, 384.
    let svg = plot([(x: 0, y: 0), (x: 5, y: 0.5), (x: 10, y: 1)])
    #expect(svg.contains("points=\"70.0,384.0 340.0,214.0 610.0,44.0\""))
  }

  @Test(
    arguments: [
      [1e17], [1e17, 1e17 + 16], [5, 5], [-3], [-1e9, -1e9 + 1e-3], [0], [1e-320, 0], [1e-9, 2e-9],
      [.nan], [.infinity, 1], [-.infinity], [1.7e308, -1.7e308], [1e299, -1e299], [1e300], [.nan, 2, .nan],
      [],
      [-0.0, 0], [1, 1 + .ulpOfOne], [1e30, 1], [.leastNonzeroMagnitude],
    ] as [[Double]])
  func `any values give a plot with few marks`(values: [Double]) {
    let points = values.enumerated().map { (x: Double($0.offset), y: $0.element) }
    let turned = points.map { (x: $0.y, y: $0.x) }
    let (a, b) = (
      LinePlot.Series(name: "a", points: points, hasMarkers: true), LinePlot.Series(name: "b", points: turned)
    )
    for (series, beginsAtZero) in [([a], false), ([b], false), ([a, b], false), ([a, b], true)] {
      let plot = LinePlot(
        title: "t", xLabel: "x", yLabel: "y", series: series, beginsAtZero: beginsAtZero)
      let svg = plot.svg
      #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
      #expect(!svg.contains("nan") && !svg.contains("inf\""))
      #expect((2...40).contains(svg.split(separator: "<text ").count))
      let labels = svg.matches(of: /text-anchor="end">([^<]*)</).map { String($0.output.1) }
      #expect(Set(labels).count == labels.count && labels.allSatisfy { $0.utf8.count < 20 }, "\(labels)")
    }
  }

  @Test func `axes are marked at round numbers`() {
    let svg = plot([(x: 0, y: 0.03), (x: 30, y: 0.87)])
    for label in ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0", "0", "10", "20", "30"] {
      #expect(svg.contains(">\(label)</text>"), "\(label)")
    }
    #expect(!svg.contains(">1.2<") && !svg.contains("-0"))
  }

  @Test func `long names widen the image`() {
    #expect(plot([(x: 0, y: 1)]).contains("viewBox=\"0 0 760.0 440.0\""))
    let name = String(repeating: "m", count: 40)
    #expect(plot([(x: 0, y: 1)], name: name).contains("viewBox=\"0 0 960.0 440.0\""))
  }

  @Test func `the vertical axis may begin above zero`() {
    let points = [(x: 0.0, y: 2.3), (x: 1.0, y: 2.9)]
    let plot = LinePlot(
      title: "t", xLabel: "x", yLabel: "y", series: [.init(name: "a", points: points)], beginsAtZero: false)
    // From 2.2 to 3.0 in steps of 0.2: the least value is an eighth above the lower edge.
    #expect(plot.svg.contains("points=\"70.0,341.5 610.0,86.5\""))
    for label in ["2.2", "3.0"] { #expect(plot.svg.contains(">\(label)</text>")) }
  }

  @Test func `names are escaped`() {
    let svg = plot([(x: 0, y: 1)], name: "<a & \"b\">")
    #expect(svg.contains(">&lt;a &amp; &quot;b&quot;&gt;</text>"))
  }

  @Test func `a single point is a dot, and one that is not finite is left out`() {
    let svg = plot([(x: 1, y: 2), (x: 2, y: .nan), (x: .infinity, y: 1)])
    #expect(svg.contains("<circle") && !svg.contains("<polyline") && !svg.contains("nan"))
  }

  @Test func `nothing to show is an empty plot`() {
    let svg = plot([])
    #expect(svg.hasPrefix("<svg xmlns=") && svg.hasSuffix("</svg>\n"))
    #expect(!svg.contains("nan") && !svg.contains("<circle"))
  }

  @Test func `follows the colour scheme of the reader`() {
    #expect(plot([(x: 0, y: 1)]).contains("prefers-color-scheme:dark"))
  }

  @Test func `plots are not replaced unasked`() throws {
    let folder = try TemporaryFolder()
    let names = ErrorAnalysis.plotNames(hasText: false)
    #expect(names == ["spectrum.svg", "energy.svg"])
    try ErrorAnalysis.requirePlace(for: names, in: folder.path("new"), force: false)
    let path = try folder.write("energy.svg", "mine")
    #expect(throws: FormatError(path, .exists)) {
      try ErrorAnalysis.requirePlace(for: names, in: folder.path, force: false)
    }
    try ErrorAnalysis.requirePlace(for: names, in: folder.path, force: true)
    #expect(throws: FormatError(path, .system("is no folder"))) {
      try ErrorAnalysis.requirePlace(for: names, in: path, force: true)
    }
  }
}
