// Written by `worklore connect`, taken away by `worklore disconnect`: runs worklore_client/hook.py at OpenCode's events.
// Whatever goes wrong, the agent goes on without memory; `worklore doctor` says why.
import { spawn } from "node:child_process"

const commands = "COMMANDS"
const LONGEST = 2000
const SHELL = "bash"

function run(event, members) {
  return new Promise((done) => {
    const chunks = []
    try {
      const [program, ...args] = commands[event]
      const child = spawn(program, args, { stdio: ["pipe", "pipe", "ignore"], windowsHide: true })
      const limit = setTimeout(() => child.kill(), LONGEST)
      const finish = () => {
        clearTimeout(limit)
        done(Buffer.concat(chunks).toString("utf8"))
      }
      child.stdout.on("data", (chunk) => chunks.push(chunk))
      child.stdin.on("error", () => {})
      child.on("error", finish)
      child.on("close", finish)
      child.stdin.end(JSON.stringify({ hook_event_name: event, ...members }))
    } catch {
      done("")
    }
  })
}

async function told(event, members) {
  try {
    return JSON.parse(await run(event, members)).additionalContext ?? ""
  } catch {
    return ""
  }
}

const textOf = (parts) =>
  (parts ?? []).filter((part) => part.type === "text" && !part.synthetic).map((part) => part.text).join("\n")

export const Worklore = async ({ client, directory }) => {
  const sessions = new Map()
  let latest = ""

  function session(id) {
    latest = id
    if (!sessions.has(id)) {
      const about = { session_id: id, cwd: directory }
      sessions.set(id, { about, brief: told("SessionStart", { ...about, source: "startup" }), bearing: "", sent: new Set() })
    }
    return sessions.get(id)
  }

  async function keep(id) {
    const here = session(id)
    const answer = await client.session.messages({ path: { id } })
    const messages = (answer.data ?? [])
      .map(({ info, parts }) => ({ id: info.id, role: info.role, text: textOf(parts), time: info.time?.created }))
      .filter((message) => message.text && !here.sent.has(message.id))
    if (messages.length) {
      await run("Said", { ...here.about, messages })
      messages.forEach((message) => here.sent.add(message.id))
    }
  }

  return {
    "chat.message": async (input, output) => {
      const here = session(input.sessionID)
      here.bearing = await told("UserPromptSubmit", { ...here.about, prompt: textOf(output.parts) })
    },
    "experimental.chat.system.transform": async (input, output) => {
      const id = input.sessionID ?? latest
      if (!id) return
      const here = session(id)
      output.system.push(...[await here.brief, here.bearing].filter(Boolean))
    },
    "tool.execute.after": async (input, output) => {
      const command = input.args?.command
      if (input.tool !== SHELL || !command) return
      const about = { ...session(input.sessionID).about, tool_use_id: input.callID }
      await run("Said", { ...about, command, output: output.output ?? "", exit_code: output.metadata?.exit })
    },
    event: async ({ event }) => {
      try {
        if (event.type === "session.idle") await keep(event.properties.sessionID)
      } catch {
        // What could not be read is read at the next idle moment.
      }
    },
  }
}
