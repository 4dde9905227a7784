module peer-agent.example/agent

go 1.19
