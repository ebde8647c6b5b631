import Checkpoints
import Testing

@Suite struct FormatErrorTests {
  @Test(arguments: [
    ([], "'awq' is not supported"), (["gptq"], "'awq' is not supported; gptq is"),
    (["a", "b"], "'awq' is not supported; a and b are"),
    (["a", "b", "c"], "'awq' is not supported; a, b and c are"),
  ])
  func `says what is supported instead`(supported: [String], text: String) {
    #expect(FormatError.Problem.unsupportedKind("'awq'", supported: supported).description == text)
  }
}
