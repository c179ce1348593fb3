/** What goes on around messages: typing, receipts, unread counts, the profile, and who is online. */

import { seconds } from "./person.mjs";
import { sdk } from "./sdk.mjs";

const { MsgType, NotificationCountType, ReceiptType, SetPresence } = sdk;

// How much later than configured a change may be heard of.
const GRACE_SECONDS = 8;

/** A duration of the server's configuration, in seconds. */
function configured(name, byDefault) {
    const [, number, unit] = /^(\d+)(ms|s|m)$/.exec(process.env[`HEARTH_PRESENCE__${name}`] ?? byDefault);
    return Number(number) * { ms: 0.001, s: 1, m: 60 }[unit];
}

/** Two people in a room who do not talk much. */
export class Around {
    constructor(report, anna, bert, roomId) {
        this.check = (...facts) => report.check(...facts);
        Object.assign(this, { anna, bert, roomId });
    }

    async typing() {
        const { anna, bert, roomId } = this;
        const typing = () => anna.room(roomId).getMember(bert.userId).typing;
        await bert.client.sendTyping(roomId, true, 20_000);
        await anna.until("Bert to type", typing);
        await bert.client.sendTyping(roomId, false);
        await anna.until("Bert to cease", () => !typing());
        await bert.client.sendTyping(roomId, true, 1_000);
        await anna.until("Bert to type for a moment", typing);
        await anna.until("his typing to end by itself", () => !typing());
        this.check("nobody types any more", typing(), false);
    }

    async unreadAndRead() {
        const { anna, bert, roomId } = this;
        const counts = () => {
            const room = bert.room(roomId);
            const count = (type) => room.getRoomUnreadNotificationCount(type);
            return [count(NotificationCountType.Total), count(NotificationCountType.Highlight)].join();
        };
        const readUpTo = (id) => anna.room(roomId).getEventReadUpTo(bert.userId, true) === id;
        const find = (id) => bert.room(roomId).findEventById(id);
        const first = await anna.say(roomId, "have you read this?");
        await bert.until("one unread message", () => counts() === "1,0");
        const mention = { msgtype: MsgType.Text, body: "Bert!", "m.mentions": { user_ids: [bert.userId] } };
        const { event_id: mentioned } = await anna.client.sendMessage(roomId, mention);
        await bert.until("an unread mention", () => counts() === "2,1");
        await bert.client.sendReadReceipt(find(first.id), ReceiptType.Read, true);
        await bert.until("the mention to be left", () => counts() === "1,1");
        await anna.until("Bert's receipt", () => readUpTo(first.id));
        await bert.client.sendReadReceipt(find(mentioned), ReceiptType.ReadPrivate, true);
        await bert.until("nothing unread", () => counts() === "0,0");
        this.check("a private receipt is not told to others", readUpTo(first.id));
        await bert.client.sendReadReceipt(find(mentioned), ReceiptType.Read, true);
        await anna.until("Bert's public receipt", () => readUpTo(mentioned));
        this.check("counts went up and down", counts(), "0,0");
    }

    async profile() {
        const { anna, bert, roomId } = this;
        await bert.client.setDisplayName("Bert the Bold");
        await bert.client.setAvatarUrl("mxc://example.org/bert");
        const shown = () => {
            const member = anna.room(roomId).getMember(bert.userId);
            return [member.rawDisplayName, member.getMxcAvatarUrl()].join();
        };
        await anna.until("Bert's name and picture", () => shown() === "Bert the Bold,mxc://example.org/bert");
        const { displayname, avatar_url: avatar } = await anna.client.getProfileInfo(bert.userId);
        this.check("the profile says the same", [displayname, avatar].join(), shown());
    }

    async presence() {
        const { anna, bert, check, roomId } = this;
        const [idle, offline] = [configured("IDLE_AFTER", "5m"), configured("OFFLINE_AFTER", "30s")];
        const told = () => anna.client.getUser(bert.userId)?.presence;
        await bert.say(roomId, "I am here");
        const active = performance.now();
        await anna.until("Bert to be online", () => told() === "online");
        await anna.until("Bert to go idle", () => told() === "unavailable", idle + GRACE_SECONDS);
        check("Bert did not go idle too soon", seconds(active) > idle - 1);
        await bert.say(roomId, "here again");
        await anna.until("Bert to be back", () => told() === "online", GRACE_SECONDS);
        await bert.client.setPresence({ presence: "online", status_msg: "on a boat" });
        const status = () => anna.client.getUser(bert.userId)?.presenceStatusMsg;
        await anna.until("his status message", () => status() === "on a boat", GRACE_SECONDS);
        await bert.client.setSyncPresence(SetPresence.Offline);
        bert.client.stopClient();
        const gone = performance.now();
        await anna.until("Bert to go offline", () => told() === "offline", idle + offline + 2 * GRACE_SECONDS);
        check("Bert did not go offline too soon", seconds(gone) > offline - 1);
        await bert.client.setSyncPresence(SetPresence.Online);
        await bert.start();
        await anna.until("Bert to come back", () => told() === "online");
        check("his status message stayed", status(), "on a boat");
    }
}
