# 机器人的中文。消息名和变量必须与 en.ftl 一致（有测试比对）。

## 命令

start =
    你好！我是美食评论家。🍜

    发一张菜的照片给我，我说出它的名字、菜系和食材，并给出十分制的评分。可以配上问题，也可以之后接着问。

    /new 重新开始 · /language 中文或 English · /help 更多说明
help =
    发一张照片（一次最多十张，也可以用文件发图片），配不配问题都行。
    然后可以接着问：“健康吗？”“怎么做？”“配什么酒？”
    新照片或 /new 会开始新的对话。
    我写的时候，点“{ button-stop }”让我停下；点“{ button-again }”换一个回答。
    👍 👎 给回答评分；点 ✏️ 告诉我哪里不对。

    { commands }

    我会看错：照片看不出过敏原，也看不出新不新鲜。
commands =
    /meme – 配上照片或回复一张照片：做表情包
    /settings – 温和、直率还是毒舌
    /new – 重新开始
    /language – 中文或 English
    /privacy – 我保存了你的什么，怎么删除
    /help – 本说明
command-unknown =
    没有这个命令。可以用的有：

    { commands }
new = 重新开始：发一张照片吧。之前发的要用 /forget 才会删除。
language-ask = 我该说哪种语言？
language-set = 好的，我说中文。
command-start = 我能做什么
command-new = 重新开始
command-language = 中文 / English
command-help = 使用说明
profile-description =
    美食评论家：发一张菜的照片，看它的名字、菜系、食材和诚实的评分。
    你盘子里的东西，它也会看错。
profile-short = 发一道菜，看一篇点评。

## 回答之前

looking = 👀 正在看……
queued =
    { $ahead ->
        [0] ⏳ 下一个就是你
       *[other] ⏳ 前面还有 { $ahead } 个问题
    }{ $seconds ->
        [0] 。
       *[other] ，大约等 { $seconds } 秒。
    }
learning =
    🎓 我正在学大家教我的，学完就回答你。{ $minutes ->
        [0] { "" }
       *[other] 训练大约还要 { $minutes } 分钟，之后是考试。
    }{ $ahead ->
        [0] { "" }
       *[other] 前面还有 { $ahead } 个问题。
    }
opening =
    👩‍🍳 刚开门，模型正在加载，马上就回答你。{ $ahead ->
        [0] { "" }
       *[other] 前面还有 { $ahead } 个问题。
    }
button-stop = ⏹ 停止
button-again = 🔁 再试一次
stopped = ⏹ 已停止。
stopping = 正在停止……
trying-again = 再来一次……

## 为什么没有回答

failed-too-long = 😔 一次记不住这么多。请问得简短些，或用 /new 重新开始。
failed = 😔 这次没能写完，是我的问题，不怪你。请再试一次。
photo-first = 请先发一张菜的照片，然后随便问。
photo-not-an-image = 这个文件打不开，不像图片。请直接发照片，或 JPEG、PNG、WebP、HEIC 文件。
photo-truncated = 这张图片不完整，缺了一部分。请再发一次。
photo-too-large = 这个文件超过 20 MB，我取不到。请直接发照片。
photo-too-many-pixels = 这张图片超过五千万像素。请直接发照片，Telegram 会把它缩小。
photo-lost = 没能从 Telegram 取到这张图片。请再发一次。
photo-animated = 它在动。我只评静止的照片。
unsupported-sticker = 贴纸不错，可是我只评菜。发一张菜的照片吧。
unsupported-voice = 我听不了语音。请打字提问，或发一张菜的照片。
unsupported-video = 我看不了视频。请发这道菜的照片。
unsupported-document = 我只看图片。请把菜作为照片或图片文件发来。
unsupported-other = 这个我用不上。发一张菜的照片吧。
question-too-long = 问题太长了：{ $length } 个字，我最多读 { $limit } 个。请缩短一些。
queue-full-user = 你已经有 { $limit } 个问题在排队了。请大约 { $seconds } 秒后再问。
queue-full-total = 现在提问的人太多了。请大约 { $minutes } 分钟后再试。

## 按钮的回应

tap-stale = 这个按钮已经失效。
tap-not-yours = 只有提问的人可以这样做。

## 群聊

group-hello =
    大家好！我是点评菜的。在照片说明里写上 @{ $name }，或者回复任何人的照片并写上 @{ $name }，我就来点评。回复我的回答可以接着问。
    回复照片发 /meme@{ $name }，就做成表情包。管理员：/settings@{ $name }
group-help =
    在照片说明里，或回复任何人的照片时写上 @{ $name } – 我来点评；有问题可以一起写上
    回复我的回答 – 接着问
    /meme – 写在照片说明里，或回复一张照片：做表情包
    /new – 重新开始
    /language – 中文或 English，只对你
    /settings – 管理员专用：语言、表情包、语气、冷却时间

    我会看错：照片看不出过敏原，也看不出新不新鲜。
group-privacy =
    🔒 隐私模式已打开：Telegram 只给我看提到我、回复我或命令我的消息。没有提到我的照片我看不到（请回复那张照片并提到我）；一组照片里我只看得到带说明的那一张。
    想让我全都看到：@BotFather → /setprivacy → @{ $name } → Disable，然后把我移出群再加回来；或者让我当管理员。不管怎样，没人叫我我不说话。
group-sees-all = 👀 这里的消息我都看得到，但只有提到我、回复我或命令我时我才说话。

## 设置

settings-group = ⚙️ “{ $title }”的规矩：语言、表情包、语气、冷却时间。只有管理员能改。
settings-private = ⚙️ 我该怎么跟你说话？
settings-admins-only = 只有本群的管理员能改我的设置。
settings-language-auto = 各人自选
settings-memes-on = 表情包开
settings-memes-off = 表情包关
settings-tone-gentle = 温和
settings-tone-frank = 直率
settings-tone-savage = 毒舌
settings-cooldown =
    { $seconds ->
        [0] 不冷却
        [10] 10 秒
        [30] 30 秒
        [120] 2 分钟
       *[other] 10 分钟
    }
settings-done = 完成
tap-admins-only = 只有管理员能改。
tap-saved = 已保存。
tap-done = 完成。
not-on-the-list = 这位评论家只在私人餐桌用餐：运营者没有把你列入名单。

photo-first-group = 我没有看到你的照片。请回复一张照片，写上 @{ $name } 和你的问题。
mention-alone = 在。可以接着问你上一张照片，或者回复别的照片并写上 @{ $name }。
photo-unseen = （隐私模式打开时，没有提到我的消息，Telegram 不给我看。）
album-partial = （这组照片里，Telegram 只给我看了带说明的那一张。要问别的，请回复那张照片并提到我。）

## 限额

limit-none = 你不能再提问了：运营者把你的额度设成了 0。
limit-cooldown = 在这个群里，同一个人每 { $limit } 秒可以问一次。你下次可以在 { $time } 提问。
limit-user-minute = 慢一点：每人每分钟最多问 { $limit } 次。你下次可以在 { $time } 提问。
limit-user-day = 今天吃饱了：你每天最多问 { $limit } 次。你下次可以在 { $time } 提问。
limit-chat-minute = 这桌太热闹了：每个聊天每分钟最多问 { $limit } 次。下次可以在 { $time } 提问。
limit-chat-day = 这桌今天的 { $limit } 次已经用完。下次可以在 { $time } 提问。

## 管理员

admin-quota-usage = /quota 用户 N – 每天最多 N 个问题；/quota 用户 default – 与大家一样，{ $limit } 个。用户指 Telegram 用户编号。
admin-quota-set = 用户 { $name } 每天可以问 { $limit } 次。
admin-quota-default = 用户 { $name } 与大家一样，每天可以问 { $limit } 次。
admin-ban-usage = /ban 用户 – 不再回答这个 Telegram 用户编号。
admin-unban-usage = /unban 用户 – 重新回答这个 Telegram 用户编号。
admin-ban-admin = 这是管理员。请先从 FOODCRITIC_ADMINS 中去掉这个编号。
admin-banned = 不再回答用户 { $name }。
admin-banned-already = 用户 { $name } 早已被禁。
admin-unbanned = 重新回答用户 { $name }。
admin-not-banned = 用户 { $name } 没有被禁。
admin-maintenance-usage = /maintenance on – 不再接收新问题；/maintenance off – 恢复接收。
admin-maintenance-on = 🔧 维护已开始：不接收新问题，已有的会答完。你自己仍然可以提问。
admin-maintenance-off = 维护已结束：大家都可以提问。
maintenance = 🔧 厨房正在打扫。之前的问题照常回答，新问题请过一会儿再来。

## 表情包、评分卡、内联

button-meme-another = 🔁 换一句
button-meme-style = 🎨 换样式
button-meme-plain = 🖼 不要文字
button-meme-text = 🔤 要文字
button-card = 🏅 评分卡
meme-off = 本群关掉了表情包。管理员可以打开：/settings
meme-first = 哪张照片？发照片时说明写 /meme，或者回复一张照片发 /meme@{ $name }。
meme-no-caption = 😔 这张图没想出好笑的。再试一次？
photo-gone = 照片已经不在了，请再发一次。
pictures-not-allowed = 我在这里不能发图片。管理员可以在群权限里允许。
tap-meme-too-long = 这句太长，这种样式放不下，换一句试试。
tap-meme-more = 再来三句新的……
tap-photo-gone = 照片已经不在了。
tap-card = 正在画评分卡……
tap-card-there = 评分卡已经在这里了。
inline-empty = 还没有点评。发一道菜给我看看！
inline-nothing = 还没有这道菜的点评。发给我看看！
guest-photo-first = 请回复一张菜的照片并提到 @{ $name }，或者写在照片说明里。
command-meme = 把照片做成表情包
command-settings = 群规矩（管理员）

## 评分与纠正

rated-up = 👍 谢谢。再点一次可以收回。
rated-down = 👎 记下了。点 ✏️ 可以告诉我哪里不对。
rated-none = 评分已收回。
fix-ask = ✏️ 其实是什么？点正确的菜名，或者回复这条消息写出菜名。
fix-ask-dish = ✏️ 请回复这条消息，写出菜名。
fix-ask-text = ✏️ 请回复这条消息，写下你认为更好的回答。
fix-hint-dish = 菜名
fix-hint-text = 更好的回答
fix-noted-dish = ✏️ 记下了：{ $dish }。
fix-noted-text = ✏️ 记下了更好的回答：“{ $text }”
fix-thanks = 谢谢。有人看过之后才会生效。
fix-undone = ↩️ 已收回。
fix-left = 好的，什么都不变。
fix-too-long-dish = 菜名没有这么长：最多 { $limit } 个字。要写整段回答，请再点一次 ✏️，选“{ button-better-text }”。
fix-too-long-text = 太长了，最多 { $limit } 个字。
button-no-dish = 🍽 根本不是菜
button-other-dish = ⌨️ 另一道菜
button-better-text = 📝 更好的回答
button-leave = ✖️ 算了
button-undo = ↩️ 撤销

## 隐私

consent-ask =
    我可以向你学习吗？如果你同意，你发来的照片和问题、点的赞和做的纠正，可能会用来训练我的模型。纠正会先由运营者看过。
    不同意也没关系，一切照常。随时可以用 /privacy 改变主意。
consent-yes = ✅ 谢谢，我可以向你学习了。用 /privacy 可以更改。
consent-no = 🚫 好的，我不会用你的内容来学习。用 /privacy 可以更改。
button-agree-yes = ✅ 同意
button-agree-no = 🚫 不同意
privacy =
    🔒 我保存的关于你的内容：你的 Telegram 编号、你的设置{ $questions ->
        [0] {""}
       *[other] 、{ $questions } 个问题和回答
    }{ $photos ->
        [0] {""}
       *[other] 、{ $photos } 张照片
    }{ $ratings ->
        [0] {""}
       *[other] 、{ $ratings } 个评分
    }{ $corrections ->
        [0] {""}
       *[other] 、{ $corrections } 条纠正
    }。

    { $days ->
        [0] 我一直保存，直到你删除。
       *[other] 问题和照片在 { $days } 天后删除，你允许我学习的除外。
    }
    { $learning ->
        [yes] ✅ 我可以从你发来的内容中学习。
        [no] 🚫 我不从你发来的内容中学习。
       *[unasked] 🚫 我不从你发来的内容中学习，因为你还没有同意。
    }

    /export – 全部内容的副本，一个文件
    /forget – 全部删除
    这个聊天里的消息由 Telegram 保存：要删除，请清空聊天记录。
privacy-in-private = 这是你我之间的事：请私聊我，@{ $name }。
button-learn-yes = ✅ 可以向我学习
button-learn-no = 🚫 不要再向我学习
button-export = 📦 我的数据
button-forget = 🗑 忘掉我
export-here =
    { $total ->
        [1] 📦 我保存的关于你的全部内容。
       *[other] 📦 我保存的关于你的全部内容：第 { $number } 个文件，共 { $total } 个。
    }
forget-ask =
    🗑 要我忘掉你吗？{ $questions ->
        [0] 你的设置
       *[other] { $questions } 个问题和回答
    }、{ $photos ->
        [0] {""}
       *[other] { $photos } 张照片、
    }你的评分和纠正都会删除，我以后学习也不再用到。无法恢复。
    这个聊天里的消息由 Telegram 保存：要删除，请清空聊天记录。
button-drop-yes = 🗑 是的，全部忘掉
button-drop-no = 不，留着
forget-not = 好的，什么都没有忘。
forget-done =
    🗑 已忘掉：{ $questions ->
        [0] 你的设置
       *[other] { $questions } 个问题
    }{ $photos ->
        [0] {""}
       *[other] 、{ $photos } 张照片
    }，以及与之有关的一切。你再写给我，就是初次见面了。
command-privacy = 我保存了你的什么
command-export = 导出你的数据
command-forget = 删除你的数据

## 训练与模型

retrain-ask = 🏋️ 现在训练更好的模型？可学的纠正 { $count } 条（已通过、已同意），配方 { $name }。用 GPU 或 nano 几分钟，CPU 上的大模型要几小时。新模型证明更好才会上线。
button-retrain-go = 🏋️ 开始训练
button-retrain-no = 先不
button-retrain-cancel = ✖️ 取消训练
retrain-not-now = 好的，现在不训练。
retrain-asked = 已安排第 { $number } 次训练，进展会在这里告诉你。
retrain-busy = 第 { $number } 次训练还没结束：{ $stage }。
retrain-cancelled = 正在停止第 { $number } 次训练。
run-waiting = ⏳ 第 { $number } 次训练在等训练进程。
run-prepare = 🧑‍🍳 第 { $number } 次训练：旧模型再答一遍，免得学新忘旧。
run-dataset = 📚 第 { $number } 次训练：正在收集大家的话。
run-train = 🏋️ 第 { $number } 次训练进行中。
run-step = 🏋️ 第 { $number } 次训练：第 { $step }/{ $total } 步，损失 { $loss }，还剩 { $time }。
run-convert = 📦 第 { $number } 次训练：正在打包新模型。
run-gate = ⚖️ 第 { $number } 次训练：新旧模型做同一份考卷。
run-promote = 🚚 第 { $number } 次训练：正在切换。
run-promoted = ✅ 第 { $number } 次训练：{ $name } 已上线。{ $reason }
run-rejected = 🚫 第 { $number } 次训练：{ $name } 不够好，一切照旧。{ $reason }
run-failed = 😔 第 { $number } 次训练失败，一切照旧。{ $reason }
run-cancelled = ✖️ 第 { $number } 次训练已取消，一切照旧。
gate-little = 证据不足：留作考卷的纠正照片只有 { $count } 张，至少要 { $needed } 张
gate-better = 在 { $count } 条没学过的纠正上更好：{ $live } → { $candidate }，至少 { $lower }
gate-not-better = 在 { $count } 条没学过的纠正上不能肯定更好：{ $live } → { $candidate }，至少 { $lower }
gate-not-judged = { $part }没有评：{ $count } 道太少，{ $needed } 道才够
gate-not-worse = { $part }没有变差（{ $count } 道）：{ $live } → { $candidate }，至少 { $lower }
gate-worse = { $part }可能变差超过 { $margin }（{ $count } 道）：{ $live } → { $candidate }，至少 { $lower }
gate-fast = 速度够快：首词 { $first_token_live } → { $first_token_candidate } 毫秒，每个词元 { $each_token_live } → { $each_token_candidate } 毫秒
gate-slow = 太慢：首词 { $first_token_live } → { $first_token_candidate } 毫秒，每个词元 { $each_token_live } → { $each_token_candidate } 毫秒
gate-part-corrections = 纠正
gate-part-naming = 认菜
gate-part-foodieqa = FoodieQA 题
gate-part-checks = 格式与拒答
gate-part-latency = 速度
models-list = 🧠 正在服务：{ $name }
models-error = ⚠️ 上次切换失败：{ $reason }
models-row = { $name }：{ $state }。{ $reason }
models-none = 还没有训练出的版本：用 /retrain 训练。
model-live = 在线
model-candidate = 候选
model-retired = 已退下
model-rejected = 未通过
model-deleted = { $state }，文件已删除
model-other = { $state }，基于 { $name }
button-model-promote = ⬆️ { $name }
button-model-rollback = ↩️ 回到上一个
tap-model-promoted = { $name } 已上线，正在切换。
tap-model-back = { $name } 重新上线。
tap-model-cannot = 做不到：{ $reason }
admin-review-empty = 没有等待审核的更正。
admin-review-last = 这是最后一条。留到以后的仍在等待：/review。
admin-review-asked = 问：
admin-review-no-question = 点评
admin-review-said = 我们说：
admin-review-dish = 对方说是：
admin-review-text = 对方会这样写：
admin-review-no-consent = ⚠️ 更正者和照片主人没有都同意我们从中学习。在他们同意之前，批准了也不会起作用。
admin-review-card = 来自 { $name } · 关于 { $title } · { $limit } 条等待。想批准别的内容，请回复菜名，或回复多行的更好回答。
admin-review-photo-gone = 🖼 有照片已经没有了。
admin-review-button-approve = ✅ 批准
admin-review-button-reject = ❌ 拒绝
admin-review-button-edit = ✏️ 修改
admin-review-button-later = ⏭ 以后再说
admin-review-button-ban = ⛔ 全部拒绝并禁用作者
admin-review-approved = ✅ 已批准
admin-review-rejected = ❌ 已拒绝
admin-review-banned = ⛔ 已拒绝，作者已被禁
admin-review-later = 留到以后。
admin-review-edit = 回复这张卡片：一行菜名，或多行的更好回答。回复后就按你写的批准。
admin-review-edited = ✏️ 已按你写的批准：{ $name }
admin-review-changed = 作者刚刚改过：这是现在的内容。
admin-review-done = 已经审核过了。
admin-review-gone = 已被撤回。
admin-broadcast-usage = /broadcast 正文 – 先预览，确认后才发给所有人。也可以对自己的一条消息回复 /broadcast。
admin-broadcast-refused = Telegram 不接受这段文字：{ $name }
admin-broadcast-preview = 以上内容将私下发给 { $limit } 人。屏蔽了我的人和被禁的人不会收到。
admin-broadcast-send = 📣 发给 { $limit } 人
admin-broadcast-drop = 🗑 放弃
admin-broadcast-begun = 📣 正在发送。
admin-broadcast-stopped = 🗑 已停止。
admin-broadcast-sending = 📣 正在发送：{ $total } 人中 { $sent } 人已收到，{ $blocked } 人屏蔽了我，{ $unknown } 人不确定。
admin-broadcast-sent = 📣 已发送：{ $total } 人中 { $sent } 人已收到，{ $blocked } 人屏蔽了我。{ $unknown } 人是否收到不确定，不会重复发送。
admin-broadcast-cancelled = 🗑 已停止：{ $total } 人中 { $sent } 人已收到，{ $blocked } 人屏蔽了我，{ $unknown } 人不确定。
admin-stats =
    📊 共 { $total } 人，其中 24 小时内提问 { $count } 人，7 天内 { $limit } 人；{ $number } 个群。
    今天（UTC）：回答 { $sent }，失败 { $blocked }，停止 { $unknown }。正在等待：{ $ahead }。
    到第一个字的秒数，一半 / 95 %：{ $seconds }；到完整回答：{ $time }。
    { $days } 天内 👍 / 👎：{ $ratings }。
    更正：待审核 { $corrections }，已批准 { $questions }。
admin-plot-answers = 每天的任务
admin-plot-answered = 已回答
admin-plot-failed = 失败
admin-plot-stopped = 停止
admin-plot-waiting = 从提问到完整回答
admin-plot-seconds = 秒
admin-plot-ratings = 每天的评价
admin-plot-good = 好评
admin-plot-bad = 差评
command-stats = 运行情况和图表
command-review = 审核更正
command-quota = 一个人每天的问题数
command-ban = 不再回答某人
command-unban = 重新回答某人
command-broadcast = 通知所有人
command-maintenance = 不再接收新问题
