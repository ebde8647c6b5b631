import Checkpoints
import Passes
import Reports
import TestSupport
import Testing

@Suite struct JUnitReportTests {
  @Test func `each limit is a test case, and a limit that does not hold a failure`() throws {
    let folder = try TemporaryFolder()
    let model = try TinyModel().write(to: folder.path("a"))
    let other = try TinyModel { $0.seed = 2 }.write(to: folder.path("b"))
    var options = VerifyOptions()
    options.text = PathOption(Fixtures.path("tiny-llama/evaluation.txt"))
    options.window = 16
    options.maxTokens = 32
    options.continuations = 0
    options.maxMeanKL = 1e-9
    options.minTop1Agreement = 0
    let verification = try Verification(reference: model, candidate: other, options)
    let report = JUnitReport(verification, reference: "a<", candidate: "b\u{1}")
    let outline = try XMLOutline(report.xml)
    let suite = try #require(outline.elements.first { $0.name == "testsuite" })
    #expect(suite.attributes["tests"] == "2" && suite.attributes["failures"] == "1")
    #expect(suite.attributes["name"] == "b\u{FFFD} against a<")
    let cases = outline.elements.filter { $0.name == "testcase" }
    #expect(cases.map { $0.attributes["name"] } == ["max_mean_kl", "min_top1_agreement"])
    let failures = outline.elements.filter { $0.name == "failure" }
    #expect(failures.count == 1 && failures[0].attributes["message"]?.contains("max_mean_kl is ") == true)
    #expect(try JSONValue(parsing: Array(outline.texts("system-out")[0].utf8)) == verification.json)
  }
}
