import Checkpoints
import Passes
import TestSupport
import Testing

@Suite struct CalibrationCurveTests {
  /// Updates whose loss falls by one each, held out every second one.
  private static func log(_ updates: Int) -> String {
    (0...updates).map { update in
      let training = update == 0 ? "" : ",\"model_loss\":0.5,\"gt_loss\":3,\"loss\":\(100 - update)"
      let held = update % 2 == 0 ? ",\"validation_gt_loss\":4,\"validation_loss\":\(101 - update)" : ""
      return "{\"update\":\(update)\(training)\(held)}\n"
    }.joined()
  }

  private func curve(_ text: String) throws -> CalibrationCurve {
    let folder = try TemporaryFolder()
    return try withExtendedLifetime(folder) {
      try CalibrationCurve(contentsOf: folder.write("a.jsonl", text))
    }
  }

  @Test func `has the losses trained on and those held out`() throws {
    let curve = try curve(Self.log(5))
    #expect(curve.training.map(\.update) == [1, 2, 3, 4, 5])
    #expect(curve.training[1].losses == ["loss": 98, "model_loss": 0.5, "gt_loss": 3])
    #expect(curve.validation.map(\.loss) == [101, 99, 97])
    #expect(curve.best?.update == 4 && curve.updateCount == 5)
    #expect(curve.has("gt_loss") && !curve.has("kl_loss"))
  }

  @Test func `smooths by means, the last updates included`() throws {
    #expect(try curve(Self.log(40)).smoothedTraining.map(\.update) == Array(1...40))
    let smoothed = try curve(Self.log(85)).smoothedTraining
    #expect(smoothed.count == 29)
    #expect(smoothed[0].update == 3 && smoothed[0].loss == 98)
    #expect(smoothed[28].update == 85 && smoothed[28].loss == 15)
  }

  @Test func `leaves out a line that is being written`() throws {
    #expect(try curve(Self.log(3) + "{\"update\":4,\"lo").updateCount == 3)
  }

  @Test(arguments: [
    ("", "a line with an update's losses is missing"),
    ("{\"update\":1}\n", "a line with an update's losses is missing"),
    ("{\"update\":1,\"loss\":1e40}\n", "a line with an update's losses is missing"),
    ("{\"update\":1,\"loss\":1}\n\n", "line 2: is no JSON object with an 'update'"),
    ("{\"loss\":1}\n", "line 1: is no JSON object with an 'update'"),
    (
      "{\"update\":2,\"loss\":1}\n{\"update\":2,\"loss\":1}\n",
      "line 2: 'update' is 2, expected more than 2 and at most 1000000000"
    ),
    ("{\"update\":-1,\"loss\":1}\n", "line 1: 'update' is -1, expected more than -1 and at most 1000000000"),
    (
      "{\"update\":9000000000000000000,\"loss\":1}\n",
      "line 1: 'update' is 9000000000000000000, expected more than -1 and at most 1000000000"
    ),
  ])
  func `refuses what is no log`(text: String, reason: String) throws {
    let error = try #require(throws: FormatError.self) { try curve(text) }
    #expect(error.description.hasSuffix("a.jsonl: " + reason))
  }

  @Test func `a single log is drawn with its parts, several by one loss`() throws {
    let folder = try TemporaryFolder()
    let first = try CalibrationCurve(contentsOf: folder.write("first.jsonl", Self.log(5)))
    let second = try CalibrationCurve(contentsOf: folder.write("second.jsonl", Self.log(9)))
    func legend(_ plot: LinePlot) -> [String] {
      plot.svg.matches(of: /height="4" fill="[^"]*"\/>\n<text[^>]*>([^<]*)</).map { String($0.1) }
    }
    #expect(legend(CalibrationCurve.plot([first])) == ["loss", "held out", "model loss", "gt loss"])
    #expect(legend(CalibrationCurve.plot([first], key: "gt_loss")) == ["gt loss", "held out"])
    #expect(
      legend(CalibrationCurve.plot([first, second]))
        == ["first: loss", "first: held out", "second: loss", "second: held out"])
  }

  @Test func `the document has first, last and best losses`() throws {
    let document = try curve(Self.log(85)).json
    #expect(document["updates"]?.integer == 85)
    #expect(document["training_first"]?["loss"]?.double == 98)
    #expect(document["validation_best"]?["update"]?.integer == 84)
    #expect(try curve("{\"update\":1,\"loss\":1}\n").json["validation_best"] == .null)
  }
}
