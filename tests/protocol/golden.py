"""The saved state that the storage contract specifies: one line, compared byte for byte."""

GOLDEN = (
    '{"messages":[{"id":"u1","role":"user","content":"What is the weather?",'
    '"timestamp":"2026-01-02T03:04:05.000Z","toolCallId":null,"name":null}],'
    '"pendingMessage":{"id":"a1","role":"assistant","content":"The weather is",'
    '"timestamp":"2026-01-02T03:04:06.000Z","toolCallId":null,"name":null},'
    '"pendingToolCalls":[{"id":"t1","name":"getWeather","arguments":"{\\"city\\":\\"Ha",'
    '"parentMessageId":null}],"state":{"counter":1},"reasoningEcho":{"e1":"AQID"},'
    '"phase":"running"}'
)
